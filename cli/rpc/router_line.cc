#include "cli/rpc/router_line.h"

#include <string_view>

#include "common/base/check.h"

namespace tarn::cli {
namespace {

constexpr std::string_view kPlainPrefix = "plain://";

}  // namespace

Result<RouterLine> RouterLine::open(const std::string& endpoint,
                                    const RouterCredentials& credentials, Millis timeout) {
  TARN_CHECK(timeout.count() > 0);
  rpc::TlsMaterial material;
  material.ca_pem = credentials.ca_pem;
  material.certificate_pem = credentials.certificate_pem;
  material.key_pem = credentials.key_pem;
  material.token = credentials.token;
  std::string address = endpoint;
  if (address.starts_with(kPlainPrefix)) {
    material.insecure_loopback = true;
    address.erase(0, kPlainPrefix.size());
  }
  if (address.find(':') == std::string::npos) {
    return invalid_argument("--endpoint = \"" + endpoint + "\" is not HOST:PORT");
  }
  TARN_ASSIGN_OR_RETURN(auto channel, rpc::open_channel(address, auth::Role::router, material));
  return RouterLine(std::move(address), std::move(channel), timeout);
}

Status RouterLine::named(Status status) const {
  const bool is_answer =
      status.code() != Code::unavailable && status.code() != Code::deadline_exceeded;
  if (is_answer) return status;
  return {status.code(), "the router at " + x_endpoint + ": " + status.message()};
}

}  // namespace tarn::cli
