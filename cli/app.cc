#include "cli/app.h"

#include <algorithm>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "common/config/schema.h"
#include "common/config/text.h"

namespace tarn::cli {
namespace {

void describe(CLI::App& app) {
  app.name("tarn");
  app.require_subcommand(1);
  app.set_version_flag("--version", "tarn " + std::string(config::version()));
  app.footer(
      "Leaves with 0 when all went well, 1 when what was asked is not so (no such block or\n"
      "session), 2 for a wrong flag or value, 3 when nobody answers, 4 when the credentials do "
      "not\n"
      "suffice, 5 when something is broken. `tarn COMMAND --help` says more.");
}

std::vector<std::string> names_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames())
      names.push_back("--" + name);
  }
  return names;
}

// The command that was named, as far as it was, and its path: "tarn token create".
struct Named {
  const CLI::App* command = nullptr;
  std::string path;
};

Named named_command(const CLI::App& app) {
  Named named{&app, app.get_name()};
  while (!named.command->get_subcommands().empty()) {
    named.command = named.command->get_subcommands().front();
    named.path += " " + named.command->get_name();
  }
  return named;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  const std::string meant = config::nearest(word, known);
  return meant.empty() ? "" : " (did you mean " + meant + "?)";
}

// A word that is neither a command nor a flag of the command; empty when it is a mere surplus.
std::string unknown_word(const Named& named, std::string word) {
  if (word.starts_with("--")) {
    word = word.substr(0, word.find('='));
    return named.path + " has no flag " + word + did_you_mean(word, flags_of(*named.command));
  }
  const std::vector<std::string> commands = names_of(*named.command);
  if (word.starts_with('-') || commands.empty()) return {};
  return "there is no command " + word + did_you_mean(word, commands);
}

std::string describe(const Named& named, const CLI::ParseError& error, const CLI::App& app) {
  const std::vector<std::string> unknown = app.remaining(true);
  std::string problem = unknown.empty() ? "" : unknown_word(named, unknown.front());
  if (!problem.empty()) return problem;
  const std::vector<std::string> commands = names_of(*named.command);
  const bool is_unfinished = unknown.empty() && !commands.empty();
  return is_unfinished ? "name a command: " + config::join(commands, ", ") : error.what();
}

// One sentence for a command line that is not understood; or the answer to --help and --version.
int leave(const CLI::App& app, const CLI::ParseError& error, Terminal& terminal) {
  if (error.get_exit_code() == 0) return app.exit(error, terminal.out, terminal.err);
  const Named named = named_command(app);
  return report(terminal,
                invalid_argument(describe(named, error, app) + "; see: " + named.path + " --help"));
}

}  // namespace

int run(int argc, const char* const* argv, Terminal terminal) {
  CLI::App app("The command line of Tarn, a shared pool for the KV caches of a fleet.");
  Invocation chosen;
  describe(app);
  add_dev_command(app, chosen);
  add_cluster_commands(app, chosen);
  add_block_commands(app, chosen);
  add_session_commands(app, chosen);
  add_slot_commands(app, chosen);
  add_credentials_commands(app, chosen);
  add_doctor_command(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    terminal.is_json = chosen.is_json;
    return leave(app, error, terminal);
  }
  terminal.is_json = chosen.is_json;
  return report(terminal, chosen.action(terminal));
}

}  // namespace tarn::cli
