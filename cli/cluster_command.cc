#include <filesystem>
#include <ostream>
#include <system_error>

#include "cli/cluster_report.h"
#include "cli/command.h"
#include "cli/router_search.h"
#include "cli/tenant_client.h"

namespace tarn::cli {
namespace {

struct StatusOptions {
  ClusterFlags cluster;
  bool skip_connections = false;
};

struct NameOptions {
  ClusterFlags cluster;
  std::string name;
};

void add_connections(const StatusOptions& options, const RouterSearch& who, ClusterReport& report) {
  if (options.skip_connections) return;
  std::error_code error;
  const bool is_tenant = std::filesystem::exists(who.folder + "/token", error) ||
                         std::filesystem::exists(who.folder + "/client.pem", error);
  if (!is_tenant) {
    report.connections_note =
        "Name a tenant's folder with --credentials to see the transport to each server.";
    return;
  }
  ClusterFlags flags = options.cluster;
  flags.credentials = who.folder;
  auto found = find_connections(flags);
  if (found) {
    report.connections = std::move(found).value();
  } else {
    report.connections_note = "No connection to storage servers: " + found.error().message();
  }
}

Result<ClusterReport> ask_all(const RouterSearch& who) {
  ClusterReport report;
  for (const std::string& endpoint : who.endpoints) {
    TARN_ASSIGN_OR_RETURN(AdminClient client,
                          AdminClient::open(endpoint, who.credentials(), who.timeout));
    auto status = client.status();
    if (status) {
      report.routers.push_back(std::move(status).value());
    } else {
      report.silent.push_back({endpoint, status.error()});
    }
  }
  return report;
}

Status run_status(const StatusOptions& options, Terminal& terminal) {
  TARN_ASSIGN_OR_RETURN(const RouterSearch who,
                        find_routers(options.cluster, Speaker::operator_first));
  TARN_ASSIGN_OR_RETURN(ClusterReport report, ask_all(who));
  const bool is_answered = !report.routers.empty();
  const Code code = is_answered ? Code::ok : report.silent.front().why.code();
  // A tenant may not see the cluster, but how it reaches the servers.
  if (is_answered || code == Code::permission_denied) add_connections(options, who, report);
  if (!is_answered && report.connections.empty()) return report.silent.front().why;
  terminal.answer(to_json(report), to_text(report));
  return Status::ok();
}

Status run_drain_server(const NameOptions& options, Terminal& terminal) {
  TARN_ASSIGN_OR_RETURN(const RouterSearch who,
                        find_routers(options.cluster, Speaker::operator_first));
  const auto done = ask_any<AdminClient>(who, [&](AdminClient& client) -> Result<bool> {
    TARN_RETURN_IF_ERROR(client.drain_server(options.name));
    return true;
  });
  TARN_RETURN_IF_ERROR(done.status());
  terminal.answer(Json::object().set("server", options.name).set("draining", true),
                  options.name + " is draining: stop it once `tarn status` shows 0 slots.\n");
  return Status::ok();
}

Status run_drain_worker(const NameOptions& options, Terminal& terminal) {
  TARN_ASSIGN_OR_RETURN(const RouterSearch who,
                        find_routers(options.cluster, Speaker::operator_first));
  const auto done = ask_any<AdminClient>(who, [&](AdminClient& client) -> Result<bool> {
    TARN_RETURN_IF_ERROR(client.drain_worker(options.name));
    return true;
  });
  TARN_RETURN_IF_ERROR(done.status());
  terminal.answer(Json::object().set("worker", options.name).set("draining", true),
                  options.name + " is asked to finish what it runs and to leave.\n");
  return Status::ok();
}

Status run_revoke(const NameOptions& options, Terminal& terminal) {
  TARN_ASSIGN_OR_RETURN(const RouterSearch who,
                        find_routers(options.cluster, Speaker::operator_first));
  const auto number = ask_any<AdminClient>(
      who, [&](AdminClient& client) { return client.revoke_tenant(options.name); });
  if (!number) return number.error();
  terminal.answer(Json::object().set("tenant", options.name).set("revocation", *number),
                  "Every ticket of " + options.name + " issued before now is refused (revocation " +
                      std::to_string(*number) +
                      "); holders of a good token or certificate get new ones.\n");
  return Status::ok();
}

void add_named(CLI::App& command, Invocation& chosen, const char* what,
               Status (*run)(const NameOptions&, Terminal&)) {
  const auto options = std::make_shared<NameOptions>();
  command.add_option("name", options->name, what)->required();
  add_cluster_flags(command, options->cluster);
  on_run(command, chosen, options, run);
}

}  // namespace

void add_cluster_commands(CLI::App& app, Invocation& chosen) {
  CLI::App& status = add_command(app, chosen, "status", "Show routers, servers and workers");
  const auto options = std::make_shared<StatusOptions>();
  add_cluster_flags(status, options->cluster);
  status.add_flag("--skip-connections", options->skip_connections,
                  "Do not connect to storage servers to see the transports");
  on_run(status, chosen, options, run_status);

  CLI::App& drain = *app.add_subcommand("drain", "Have a server or worker hand over its part");
  drain.require_subcommand(1);
  add_named(add_command(drain, chosen, "server", "Move a storage server's part to others"), chosen,
            "Name of the server", run_drain_server);
  add_named(add_command(drain, chosen, "worker", "Send a worker no more requests"), chosen,
            "Name of the worker", run_drain_worker);
  add_named(add_command(app, chosen, "revoke", "Refuse all tickets that a tenant has now"), chosen,
            "Name of the tenant", run_revoke);
}

void add_cluster_flags(CLI::App& command, ClusterFlags& flags) {
  command.add_option(
      "--endpoint", flags.endpoint,
      "HOST:PORT of the routers, with commas (default: TARN_ENDPOINT, the folder's)");
  command.add_option("--credentials", flags.credentials,
                     "Folder of the credentials (default: TARN_CREDENTIALS, ~/.tarn/dev)");
  command.add_option("--timeout-ms", flags.timeout_ms, "How long a call may take")
      ->check(CLI::Range(1u, 3'600'000u))
      ->capture_default_str();
}

}  // namespace tarn::cli
