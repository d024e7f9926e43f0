#include <array>
#include <ctime>
#include <ostream>

#include "cli/command.h"
#include "cli/router_search.h"
#include "cli/rpc/session_client.h"
#include "cli/text.h"
#include "common/base/clock.h"
#include "common/base/ids.h"

namespace tarn::cli {
namespace {

struct SessionOptions {
  ClusterFlags cluster;
  std::string prefix;
  size_t limit = 1000;
  std::string id;
  std::string new_id;
  std::vector<std::string> ids;
};

// "2026-11-22T19:24:16Z"; "-" for 0.
std::string format_time(int64_t unix_ms) {
  if (unix_ms <= 0) return "-";
  const auto seconds = static_cast<std::time_t>(unix_ms / 1000);
  std::tm parts{};
  std::array<char, 32> text{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return "-";
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

Json to_json(const SessionLine& line) {
  return Json::object()
      .set("id", line.id)
      .set("space", to_hex(line.space))
      .set("version", line.version)
      .set("blocks", line.block_count)
      .set("tokens", line.token_count)
      .set("pinned", line.is_pinned)
      .set("parent", line.parent)
      .set("updated_unix_ms", line.updated_unix_ms);
}

Json to_json(const SessionReport& report) {
  Json runs = Json::array();
  for (const SessionRun& run : report.runs) {
    Json hashes = Json::array();
    for (const std::string& hash : run.hashes)
      hashes.add(to_hex(hash));
    runs.add(Json::object()
                 .set("anchor", to_hex(run.anchor))
                 .set("first_index", run.first_index)
                 .set("hashes", std::move(hashes)));
  }
  return to_json(report.line)
      .set("created_unix_ms", report.created_unix_ms)
      .set("expires_unix_ms", report.expires_unix_ms)
      .set("tail_bytes", report.tail_bytes)
      .set("token_ids", report.token_id_count)
      .set("runs", std::move(runs));
}

std::string to_text(const SessionReport& report) {
  const SessionLine& line = report.line;
  std::string text =
      "session  " + line.id + "\nspace    " + to_hex(line.space) + "\nversion  " +
      std::to_string(line.version) + "\ntokens   " + std::to_string(line.token_count) +
      " (tail: " + format_bytes(report.tail_bytes) + ")\nblocks   " +
      std::to_string(line.block_count) + " in " + std::to_string(report.runs.size()) +
      " runs\npinned   " + (line.is_pinned ? "yes" : "no") + "\nparent   " +
      (line.parent.empty() ? "-" : line.parent) + "\ncreated  " +
      format_time(report.created_unix_ms) + "\nupdated  " + format_time(line.updated_unix_ms) +
      "\nexpires  " +
      (report.expires_unix_ms == 0 ? "never" : format_time(report.expires_unix_ms)) + "\n";
  if (report.runs.empty()) return text;
  Table table({"ANCHOR", "FIRST", "BLOCKS"});
  for (const SessionRun& run : report.runs) {
    table.add(
        {to_hex(run.anchor), std::to_string(run.first_index), std::to_string(run.hashes.size())});
  }
  return text + "\n" + table.text();
}

std::string to_text(const std::vector<SessionLine>& lines) {
  if (lines.empty()) return "No sessions.\n";
  Table table({"SESSION", "VERSION", "BLOCKS", "TOKENS", "PINNED", "UPDATED", "PARENT"});
  for (const SessionLine& line : lines) {
    table.add({line.id, std::to_string(line.version), std::to_string(line.block_count),
               std::to_string(line.token_count), line.is_pinned ? "yes" : "no",
               format_time(line.updated_unix_ms), line.parent});
  }
  return table.text();
}

template <typename Ask>
auto ask_sessions(const SessionOptions& options, Ask ask)
    -> decltype(ask(std::declval<SessionClient&>())) {
  TARN_ASSIGN_OR_RETURN(const RouterSearch search, find_routers(options.cluster, Speaker::client));
  return ask_any<SessionClient>(search, ask);
}

Status run_ls(const SessionOptions& options, Terminal& terminal) {
  const auto lines = ask_sessions(
      options, [&](SessionClient& client) { return client.list(options.prefix, options.limit); });
  if (!lines) return lines.error();
  Json list = Json::array();
  for (const SessionLine& line : *lines)
    list.add(to_json(line));
  terminal.answer(Json::object().set("sessions", std::move(list)), to_text(*lines));
  return Status::ok();
}

Status run_show(const SessionOptions& options, Terminal& terminal) {
  const auto report =
      ask_sessions(options, [&](SessionClient& client) { return client.show(options.id); });
  if (!report) return report.error();
  terminal.answer(to_json(*report), to_text(*report));
  return Status::ok();
}

Status run_fork(const SessionOptions& options, Terminal& terminal) {
  const auto report = ask_sessions(
      options, [&](SessionClient& client) { return client.fork(options.id, options.new_id); });
  if (!report) return report.error();
  terminal.answer(to_json(*report), report->line.id + "\n");
  return Status::ok();
}

Status run_rm(const SessionOptions& options, Terminal& terminal) {
  size_t count = 0;
  for (const std::string& id : options.ids) {
    const auto done = ask_sessions(options, [&](SessionClient& client) -> Result<bool> {
      TARN_RETURN_IF_ERROR(client.remove(id));
      return true;
    });
    TARN_RETURN_IF_ERROR(done.status());
    ++count;
    if (terminal.is_interactive && options.ids.size() > 1) {
      terminal.err << "\r" << count << " of " << options.ids.size()
                   << (count == options.ids.size() ? "\n" : "") << std::flush;
    }
  }
  terminal.answer(Json::object().set("removed", Json::array_of(options.ids)),
                  "removed " + std::to_string(count) + (count == 1 ? " session\n" : " sessions\n"));
  return Status::ok();
}

}  // namespace

void add_session_commands(CLI::App& app, Invocation& chosen) {
  CLI::App& session = *app.add_subcommand("session", "List, show, fork and remove sessions");
  session.require_subcommand(1);
  const auto add = [&](const char* name, const char* what, auto run) -> auto{
    CLI::App& command = add_command(session, chosen, name, what);
    auto options = std::make_shared<SessionOptions>();
    add_cluster_flags(command, options->cluster);
    on_run(command, chosen, options, run);
    return std::pair<CLI::App*, std::shared_ptr<SessionOptions>>(&command, options);
  };
  const auto [ls, ls_options] = add("ls", "List the tenant's sessions", run_ls);
  ls->add_option("prefix", ls_options->prefix, "Only ids that begin so");
  ls->add_option("--limit", ls_options->limit, "At most so many")
      ->check(CLI::Range(size_t{1}, size_t{1'000'000}))
      ->capture_default_str();
  const auto [show, show_options] = add("show", "Show a session's manifest", run_show);
  show->add_option("id", show_options->id, "Its id")->required();
  const auto [fork, fork_options] = add("fork", "Make a new session of the same blocks", run_fork);
  fork->add_option("id", fork_options->id, "Id of the session to copy")->required();
  fork->add_option("new-id", fork_options->new_id, "Id of the new session (default: drawn)");
  const auto [rm, rm_options] =
      add("rm", "Remove sessions; their blocks stay until evicted", run_rm);
  rm->add_option("id", rm_options->ids, "Their ids")->required();
}

}  // namespace tarn::cli
