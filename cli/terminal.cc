#include "cli/terminal.h"

#include <ostream>

namespace tarn::cli {

void Terminal::answer(const Json& json, std::string_view text) {
  has_answered = true;
  if (is_json) {
    out << json.text() << '\n';
  } else {
    out << text;
  }
  out.flush();
}

int exit_code(Code code) {
  switch (code) {
    case Code::ok:
    case Code::kept_less:
      return kExitOk;
    case Code::not_found:
    case Code::exists:
    case Code::extent_full:
    case Code::conflict:
      return kExitNotSo;
    case Code::invalid_argument:
    case Code::unsupported:
      return kExitUsage;
    case Code::stale_epoch:
    case Code::unavailable:
    case Code::overloaded:
    case Code::deadline_exceeded:
    case Code::cancelled:
      return kExitUnavailable;
    case Code::unauthenticated:
    case Code::permission_denied:
      return kExitDenied;
    case Code::corrupt:
    case Code::internal:
      break;
  }
  return kExitBroken;
}

int report(Terminal& terminal, const Status& status) {
  if (status.is_ok()) return kExitOk;
  if (terminal.is_json && !terminal.has_answered) {
    terminal.out << Json::object()
                        .set("error", status.message())
                        .set("code", code_name(status.code()))
                        .text()
                 << '\n';
  }
  terminal.err << "tarn: " << status.message() << '\n';
  return exit_code(status.code());
}

}  // namespace tarn::cli
