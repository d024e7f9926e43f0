#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

#include "cli/cluster_flags.h"
#include "cli/terminal.h"
#include "common/base/status.h"

namespace tarn::cli {

// What the command line asked for: set by the callback of the command that was named, run after
// parsing. One-thread.
struct Invocation {
  bool is_json = false;
  std::function<Status(Terminal&)> action;
};

// Adds a command with the flags that all have.
inline CLI::App& add_command(CLI::App& parent, Invocation& chosen, std::string name,
                             std::string purpose) {
  CLI::App& command = *parent.add_subcommand(std::move(name), std::move(purpose));
  command.add_flag("--json", chosen.is_json, "Answer with JSON");
  return command;
}

// What to run, with the options that the flags have filled.
template <typename Options>
void on_run(CLI::App& command, Invocation& chosen, std::shared_ptr<Options> options,
            Status (*run)(const Options&, Terminal&)) {
  command.callback([&chosen, options = std::move(options), run] {
    chosen.action = [options, run](Terminal& terminal) { return run(*options, terminal); };
  });
}

// --endpoint, --credentials and --timeout-ms.
void add_cluster_flags(CLI::App& command, ClusterFlags& flags);

// The commands, one function a file.
void add_block_commands(CLI::App& app, Invocation& chosen);
void add_cluster_commands(CLI::App& app, Invocation& chosen);
void add_credentials_commands(CLI::App& app, Invocation& chosen);
void add_dev_command(CLI::App& app, Invocation& chosen);
void add_doctor_command(CLI::App& app, Invocation& chosen);
void add_session_commands(CLI::App& app, Invocation& chosen);
void add_slot_commands(CLI::App& app, Invocation& chosen);

}  // namespace tarn::cli
