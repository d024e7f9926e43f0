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

// The path of the command that was named, as far as it was: "tarn token create".
std::string command_path(const CLI::App& app) {
  std::string path = app.get_name();
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    path += " " + at->get_name();
  }
  return path;
}

// A first word that is no command.
std::string unknown_command(const CLI::App& app, std::string_view word) {
  const std::vector<std::string> names = names_of(app);
  if (word.starts_with('-') || std::find(names.begin(), names.end(), word) != names.end()) {
    return {};
  }
  const std::string meant = config::nearest(word, names);
  return "there is no command " + std::string(word) +
         (meant.empty() ? "" : " (did you mean " + meant + "?)");
}

// One sentence for a command line that is not understood; or the answer to --help and --version.
int leave(const CLI::App& app, const CLI::ParseError& error, std::string_view first_word,
          Terminal& terminal) {
  if (error.get_exit_code() == 0) return app.exit(error, terminal.out, terminal.err);
  std::string problem = first_word.empty() ? "name a command" : unknown_command(app, first_word);
  if (problem.empty()) problem = error.what();
  return report(terminal, invalid_argument(problem + "; see: " + command_path(app) + " --help"));
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
  add_credentials_commands(app, chosen);
  add_doctor_command(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    terminal.is_json = chosen.is_json;
    return leave(app, error, argc > 1 ? argv[1] : "", terminal);
  }
  terminal.is_json = chosen.is_json;
  return report(terminal, chosen.action(terminal));
}

}  // namespace tarn::cli
