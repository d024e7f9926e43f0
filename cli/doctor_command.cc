#include <algorithm>
#include <array>
#include <ostream>

#include "cli/checkup.h"
#include "cli/command.h"
#include "cli/credentials_folder.h"
#include "cli/text.h"

namespace tarn::cli {
namespace {

struct DoctorOptions {
  std::string credentials;
  std::string dram_bytes = "1GiB";
  std::vector<std::string> listen = {"127.0.0.1:7420"};
  std::string etcd;
};

void append(Findings& all, Findings more) {
  for (Finding& finding : more)
    all.push_back(std::move(finding));
}

void say(Terminal& terminal, std::string_view what) {
  if (terminal.is_interactive) terminal.err << "looking at " << what << " ...\n";
}

Json to_json(const Findings& all) {
  Json list = Json::array();
  for (const Finding& finding : all) {
    list.add(Json::object()
                 .set("name", finding.name)
                 .set("health", health_name(finding.health))
                 .set("what", finding.what)
                 .set("advice", finding.advice));
  }
  return list;
}

std::string to_text(const Findings& all) {
  std::string text;
  for (const Finding& finding : all) {
    std::string line(health_name(finding.health));
    line.resize(9, ' ');
    text += line + finding.name + ": " + finding.what + "\n";
    if (!finding.advice.empty()) text += "         -> " + finding.advice + "\n";
  }
  return text;
}

Health worst(const Findings& all) {
  Health health = Health::ok;
  for (const Finding& finding : all)
    health = std::max(health, finding.health);
  return health;
}

Status run_doctor(const DoctorOptions& options, Terminal& terminal) {
  TARN_ASSIGN_OR_RETURN(const uint64_t dram_bytes, parse_bytes("--dram-bytes", options.dram_bytes));
  if (dram_bytes == 0) return invalid_argument("--dram-bytes must not be 0");
  TARN_ASSIGN_OR_RETURN(const std::string folder, find_folder(options.credentials));
  say(terminal, "the machine");
  Findings all = check_machine(dram_bytes);
  say(terminal, "UCX");
  append(all, check_ucx());
  for (const std::string& address : options.listen)
    all.push_back(check_port(address));
  append(all, check_credentials(folder));
  if (!options.etcd.empty()) all.push_back(check_etcd(options.etcd));
  const Health health = worst(all);
  terminal.answer(Json::object().set("health", health_name(health)).set("findings", to_json(all)),
                  to_text(all));
  return health == Health::problem ? not_found("there are problems; the lines above say what to do")
                                   : Status::ok();
}

}  // namespace

void add_doctor_command(CLI::App& app, Invocation& chosen) {
  CLI::App& command =
      add_command(app, chosen, "doctor", "Look at this machine and say what Tarn would trip over");
  const auto options = std::make_shared<DoctorOptions>();
  command.add_option("--credentials", options->credentials,
                     "Folder to check: of a client, or the secrets folder (default: ~/.tarn/dev)");
  command.add_option("--dram-bytes", options->dram_bytes, "Memory that a server is to get")
      ->capture_default_str();
  command.add_option("--listen", options->listen, "HOST:PORT that should be free; may be repeated")
      ->capture_default_str();
  command.add_option("--etcd", options->etcd, "HOST:PORT of an etcd that should answer");
  on_run(command, chosen, options, run_doctor);
}

}  // namespace tarn::cli
