#include "common/config/load.h"

#include <string_view>
#include <utility>

#include <unistd.h>

#include "common/base/check.h"
#include "common/config/sources.h"
#include "common/config/text.h"

namespace tarn::config {
namespace {

void put_in_effect(Values& values, const Settings& settings) {
  for (const auto& [index, setting] : settings) {
    values.set(index, setting);
  }
}

Result<Settings> read_environment(const Schema& schema, const Environment& env) {
  Settings settings;
  for (size_t i = 0; i < schema.items().size(); ++i) {
    const Item& item = schema.items()[i];
    const auto found = env.find(schema.env_name(item.name));
    if (found == env.end()) continue;
    Result<Value> value = parse(item, found->second);
    if (!value) return invalid_argument(found->first + ": " + value.error().message());
    settings.emplace_back(i, Setting{std::move(*value), found->first});
  }
  return settings;
}

// Only a warning: others, such as Kubernetes for a service of this name, set variables with our
// prefix (TARN_SERVER_PORT_80_TCP).
std::vector<std::string> warn_of_typos(const Schema& schema, const Environment& env) {
  std::vector<std::string> warnings;
  const std::string prefix = schema.env_name("");
  TARN_CHECK(prefix.back() == '_');
  std::vector<std::string> known = {schema.env_name("config").substr(prefix.size())};
  for (const Item& item : schema.items()) {
    known.push_back(schema.env_name(item.name).substr(prefix.size()));
  }
  for (auto it = env.lower_bound(prefix); it != env.end(); ++it) {
    const std::string& name = it->first;
    if (name.compare(0, prefix.size(), prefix) != 0) break;
    const std::string meant = nearest(name.substr(prefix.size()), known);
    if (meant.empty() || prefix + meant == name) continue;
    std::string warning = name;
    warning.append(": no such variable (did you mean ").append(prefix).append(meant).append("?)");
    warnings.push_back(std::move(warning));
  }
  return warnings;
}

std::string config_path(const Schema& schema, const Flags& flags, const Environment& env) {
  if (!flags.config_path.empty()) return flags.config_path;
  const auto found = env.find(schema.env_name("config"));
  return found == env.end() ? "" : found->second;
}

}  // namespace

std::string unknown_item(const Schema& schema, const std::string& name) {
  std::vector<std::string> known;
  for (const Item& item : schema.items())
    known.push_back(item.name);
  const std::string meant = nearest(name, known);
  return "unknown item " + name +
         (meant.empty() ? " (see " + schema.program() + " --help)"
                        : " (did you mean " + meant + "?)");
}

Environment environment() {
  Environment env;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    env.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return env;
}

Result<Values> load(const Schema& schema, int argc, const char* const* argv,
                    const Environment& env) {
  Values values(schema);
  TARN_ASSIGN_OR_RETURN(Flags flags, read_flags(schema, argc, argv));
  if (!flags.output.empty()) {
    values.finish(std::move(flags.output), {});
    return values;
  }
  if (const std::string path = config_path(schema, flags, env); !path.empty()) {
    TARN_ASSIGN_OR_RETURN(const Settings from_file, read_file(schema, path));
    put_in_effect(values, from_file);
  }
  TARN_ASSIGN_OR_RETURN(const Settings from_env, read_environment(schema, env));
  put_in_effect(values, from_env);
  put_in_effect(values, flags.settings);
  values.finish(flags.print_config ? values.to_toml() : "", warn_of_typos(schema, env));
  return values;
}

}  // namespace tarn::config
