#include "cli/cluster_report.h"

#include <algorithm>
#include <tuple>

#include "cli/text.h"
#include "common/base/check.h"

namespace tarn::cli {
namespace {

Json to_json(const ServerReport& server) {
  return Json::object()
      .set("id", server.id)
      .set("name", server.name)
      .set("endpoint", server.endpoint)
      .set("domain", server.domain)
      .set("state", server.state)
      .set("silent_ms", server.silent_ms)
      .set("dram_bytes", server.dram_bytes)
      .set("dram_used_bytes", server.dram_used_bytes)
      .set("stored_payload_bytes", server.stored_payload_bytes)
      .set("blocks", server.blocks)
      .set("index_synced", server.index_synced)
      .set("slots_primary", server.slots_primary)
      .set("slots_synced", server.slots_synced);
}

Json to_json(const WorkerReport& worker) {
  return Json::object()
      .set("name", worker.name)
      .set("endpoint", worker.endpoint)
      .set("host", worker.host)
      .set("alive", worker.is_alive)
      .set("draining", worker.is_draining)
      .set("capacity", worker.capacity)
      .set("running", worker.running)
      .set("queued", worker.queued)
      .set("silent_ms", worker.silent_ms);
}

Json to_json(const RouterReport& router) {
  return Json::object()
      .set("endpoint", router.endpoint)
      .set("name", router.name)
      .set("epoch", router.epoch)
      .set("controller", router.is_controller)
      .set("authority", router.authority)
      .set("authority_reachable", router.authority_reachable)
      .set("pending_change", router.pending_change)
      .set("indexed_blocks", router.indexed_blocks)
      .set("index_synced", router.index_synced);
}

Json to_json(const SilentRouter& router) {
  return Json::object().set("endpoint", router.endpoint).set("error", router.why.message());
}

Json to_json(const ConnectionReport& connection) {
  return Json::object()
      .set("server", connection.server)
      .set("endpoint", connection.endpoint)
      .set("transport", connection.transport)
      .set("note", connection.note);
}

template <typename Reports>
Json list_of(const Reports& reports) {
  Json list = Json::array();
  for (const auto& report : reports)
    list.add(to_json(report));
  return list;
}

std::string yes_no(bool value) {
  return value ? "yes" : "no";
}

// A tenant is not told.
std::string authority_text(const RouterReport& router) {
  if (router.authority.empty()) return "-";
  return router.authority + (router.authority_reachable ? "" : " (unreachable)");
}

std::string dram_text(const ServerReport& server) {
  if (server.dram_bytes == 0) return "-";
  return format_bytes(server.dram_used_bytes) + " of " + format_bytes(server.dram_bytes);
}

std::string or_dash(const std::string& text) {
  return text.empty() ? "-" : text;
}

std::string routers_text(const ClusterReport& report) {
  Table table({"ROUTER", "ENDPOINT", "EPOCH", "CONTROLLER", "AUTHORITY", "BLOCKS INDEXED"});
  for (const RouterReport& router : report.routers) {
    table.add({router.name, router.endpoint, std::to_string(router.epoch),
               yes_no(router.is_controller), authority_text(router),
               std::to_string(router.indexed_blocks) + (router.index_synced ? "" : " (syncing)")});
  }
  for (const SilentRouter& router : report.silent)
    table.add({"-", router.endpoint, "-", "-", router.why.message(), "-"});
  return table.text();
}

std::string servers_text(const std::vector<ServerReport>& servers) {
  if (servers.empty()) return "\nNo storage server has joined yet.\n";
  Table table({"SERVER", "ID", "ENDPOINT", "DOMAIN", "STATE", "SILENT", "DRAM", "BLOCKS", "SLOTS"});
  for (const ServerReport& server : servers) {
    table.add(
        {server.name, std::to_string(server.id), or_dash(server.endpoint), or_dash(server.domain),
         server.state, format_duration(server.silent_ms), dram_text(server),
         std::to_string(server.blocks),
         std::to_string(server.slots_primary) + " of " + std::to_string(server.slots_synced)});
  }
  return "\n" + table.text();
}

std::string workers_text(const std::vector<WorkerReport>& workers) {
  if (workers.empty()) return {};
  Table table({"WORKER", "ENDPOINT", "STATE", "RUNNING", "QUEUED", "SILENT"});
  for (const WorkerReport& worker : workers) {
    const char* const state = !worker.is_alive ? "lost" : worker.is_draining ? "draining" : "up";
    table.add({worker.name, worker.endpoint, state,
               std::to_string(worker.running) + " of " + std::to_string(worker.capacity),
               std::to_string(worker.queued), format_duration(worker.silent_ms)});
  }
  return "\n" + table.text();
}

std::string connections_text(const ClusterReport& report) {
  if (report.connections.empty()) {
    return report.connections_note.empty() ? "" : "\n" + report.connections_note + "\n";
  }
  Table table({"THIS CLIENT TO", "ENDPOINT", "TRANSPORT", "NOTE"});
  for (const ConnectionReport& one : report.connections)
    table.add({one.server, one.endpoint, one.transport, one.note});
  return "\n" + table.text();
}

// Nothing where all slots can answer.
std::string slots_text(const RouterReport& router) {
  std::string text;
  if (router.slots_waiting > 0) {
    text += std::to_string(router.slots_waiting) +
            " session slots wait for a server that is down: see `tarn slot ls`\n";
  }
  if (router.slots_lost > 0) {
    text += std::to_string(router.slots_lost) +
            " session slots are lost: their sessions are unavailable until you decide; see `tarn "
            "slot ls`\n";
  }
  return text;
}

}  // namespace

const RouterReport* ClusterReport::best() const {
  const auto rank = [](const RouterReport& router) {
    return std::tuple(router.epoch, router.is_controller);
  };
  const auto found = std::max_element(
      routers.begin(), routers.end(),
      [&](const RouterReport& a, const RouterReport& b) { return rank(a) < rank(b); });
  return found == routers.end() ? nullptr : &*found;
}

Json to_json(const ClusterReport& report) {
  const RouterReport* const best = report.best();
  TARN_CHECK(best != nullptr || report.routers.empty());
  const RouterReport nothing;
  const RouterReport& known = best == nullptr ? nothing : *best;
  return Json::object()
      .set("epoch", known.epoch)
      .set("slots_waiting", known.slots_waiting)
      .set("slots_lost", known.slots_lost)
      .set("routers", list_of(report.routers))
      .set("silent_routers", list_of(report.silent))
      .set("servers", list_of(known.servers))
      .set("workers", list_of(known.workers))
      .set("connections", list_of(report.connections))
      .set("connections_note", report.connections_note);
}

std::string to_text(const ClusterReport& report) {
  const RouterReport* const best = report.best();
  if (best == nullptr) return routers_text(report) + connections_text(report);
  std::string text = routers_text(report);
  for (const RouterReport& router : report.routers) {
    if (router.pending_change.empty()) continue;
    text += "Waiting at " + router.name + ": " + router.pending_change + "\n";
  }
  return text + slots_text(*best) + servers_text(best->servers) + workers_text(best->workers) +
         connections_text(report);
}

}  // namespace tarn::cli
