#include <algorithm>

#include <CLI/CLI.hpp>

#include "common/base/check.h"
#include "common/config/sources.h"
#include "common/config/text.h"

namespace tarn::config {
namespace {

std::string type_name(const Item& item) {
  switch (item.kind) {
    case Kind::bytes:
      return "SIZE";
    case Kind::number:
      return "N";
    case Kind::duration:
      return "TIME";
    case Kind::list:
      return "A,B,...";
    case Kind::choice:
      return join(item.choices, "|");
    case Kind::text:
    case Kind::boolean:
      break;
  }
  return "TEXT";
}

// The default as it would be given on the command line.
std::string default_text(const Item& item) {
  if (const auto* text = std::get_if<std::string>(&item.initial)) return *text;
  if (const auto* number = std::get_if<uint64_t>(&item.initial)) return format(item, *number);
  if (const auto* words = std::get_if<std::vector<std::string>>(&item.initial)) {
    return join(*words, ",");
  }
  return std::get<bool>(item.initial) ? "true" : "false";
}

// "Memory for blocks. (default 1GiB; 1MiB to 1TiB)"
std::string help_line(const Item& item) {
  const std::string initial = default_text(item);
  const bool has_range = item.kind != Kind::choice && !item.limits().empty();
  std::string notes = initial.empty() ? "" : "default " + initial;
  if (has_range) notes += (notes.empty() ? "" : "; ") + item.limits();
  return notes.empty() ? item.doc : item.doc + " (" + notes + ")";
}

// All results are kept as given: they are judged here, so that every message names the item.
CLI::Option* declare(CLI::App& app, const Item& item) {
  const std::string doc = help_line(item);
  if (item.kind == Kind::boolean) {
    return app.add_flag(item.flag(), doc)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  return app.add_option(item.flag(), doc)
      ->type_name(type_name(item))
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

std::string footer(const Schema& schema) {
  return "Each flag can also stand in the file (dram_bytes for --dram-bytes) or in the "
         "environment (" +
         schema.env_name("dram_bytes") +
         ").\nA flag beats the environment, the environment beats the file.";
}

Status unexpected(const Schema& schema, const std::string& argument) {
  if (argument.empty() || argument[0] != '-') {
    return invalid_argument("unexpected argument \"" + argument +
                            "\": values follow their flag, as in --item value or --item=true");
  }
  const std::string flag = argument.substr(0, argument.find('='));
  std::vector<std::string> known = {"--config", "--print-config", "--help", "--version"};
  for (const Item& item : schema.items())
    known.push_back(item.flag());
  const std::string meant = nearest(flag, known);
  return invalid_argument(
      flag + ": unknown flag (" +
      (meant.empty() ? "see " + schema.program() + " --help" : "did you mean " + meant + "?") +
      ")");
}

bool is_flag(const Schema& schema, const std::string& text) {
  const auto& items = schema.items();
  return std::any_of(items.begin(), items.end(), [&](const Item& i) { return i.flag() == text; });
}

Result<Setting> to_setting(const Schema& schema, const Item& item,
                           const std::vector<std::string>& results) {
  if (results.size() > 1 && item.kind != Kind::list) {
    return invalid_argument(item.flag() + ": given " + std::to_string(results.size()) +
                            " times, may be given once");
  }
  TARN_CHECK(!results.empty());
  if (is_flag(schema, results[0])) {
    return invalid_argument(item.flag() + ": its value is missing (" + results[0] + " is a flag)");
  }
  Result<Value> value = parse(item, join(results, ","));
  if (!value) return invalid_argument(item.flag() + ": " + value.error().message());
  return Setting{std::move(*value), item.flag()};
}

struct Request {
  bool help = false;
  bool version = false;
};

// Throws CLI::ParseError: called in a try block only.
void run(CLI::App& app, int argc, const char* const* argv) {
  app.allow_extras();
  app.parse(argc, argv);
}

Result<Settings> collect(const Schema& schema, const std::vector<CLI::Option*>& options) {
  TARN_CHECK(options.size() == schema.items().size());
  Settings settings;
  for (size_t i = 0; i < options.size(); ++i) {
    if (options[i]->count() == 0) continue;
    TARN_ASSIGN_OR_RETURN(Setting setting,
                          to_setting(schema, schema.items()[i], options[i]->results()));
    settings.emplace_back(i, std::move(setting));
  }
  return settings;
}

}  // namespace

Result<Flags> read_flags(const Schema& schema, int argc, const char* const* argv) {
  Flags flags;
  Request request;
  CLI::App app(schema.purpose(), schema.program());
  app.set_help_flag();
  app.footer(footer(schema));
  app.add_flag("-h,--help", request.help, "Print this and leave");
  app.add_flag("--version", request.version, "Print the version and leave");
  app.add_flag("--print-config", flags.print_config,
               "Print the configuration in effect as a TOML file and leave");
  const CLI::Option* config =
      app.add_option("--config", flags.config_path, "Read items from this TOML file")
          ->type_name("FILE");
  std::vector<CLI::Option*> options;
  for (const Item& item : schema.items())
    options.push_back(declare(app, item));
  try {
    run(app, argc, argv);
  } catch (const CLI::ParseError& error) {
    return invalid_argument(error.what());
  }
  if (request.help) flags.output = app.help();
  if (request.version) flags.output = schema.program() + " " + std::string(version()) + "\n";
  if (!flags.output.empty()) return flags;
  if (const auto extras = app.remaining(); !extras.empty()) return unexpected(schema, extras[0]);
  if (config->count() > 0 && flags.config_path.empty()) {
    return invalid_argument("--config: names no file");
  }
  TARN_ASSIGN_OR_RETURN(flags.settings, collect(schema, options));
  return flags;
}

}  // namespace tarn::config
