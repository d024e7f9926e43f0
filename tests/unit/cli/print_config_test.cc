#include <gmock/gmock.h>

#include "router/options.h"
#include "server/options.h"
#include "tests/unit/config/loading.h"

// The configuration of the programs themselves, printed with --print-config and read back.
namespace tarn::config {
namespace {

class PrintConfig : public Loading {
 protected:
  static std::vector<Schema> programs() {
    return {server::server_schema(), router::router_schema()};
  }

  // A value of the item that is not its default.
  static std::string other(const Item& item) {
    switch (item.kind) {
      case Kind::text:
        return "other \"text\"";
      case Kind::boolean:
        return std::get<bool>(item.initial) ? "false" : "true";
      case Kind::list:
        return "a:1,b:2";
      case Kind::choice:
        return item.choices.back() == std::get<std::string>(item.initial) ? item.choices.front()
                                                                          : item.choices.back();
      default:
        return std::to_string(std::get<uint64_t>(item.initial) + 1);
    }
  }

  // The lines that set items, without the comments that name who set them.
  static std::string settings(const std::string& toml) {
    std::istringstream lines(toml);
    std::string kept;
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty() && line[0] != '#') kept += line + "\n";
    }
    return kept;
  }
};

TEST_F(PrintConfig, reads_back_to_the_same_values_for_every_program) {
  for (const Schema& items : programs()) {
    std::vector<std::string> args = {"--print-config"};
    for (const Item& item : items.items())
      args.push_back(item.flag() + "=" + other(item));
    for (const auto& given : {load(items, {"--print-config"}), load(items, args)}) {
      ASSERT_TRUE(given) << given.error().message();
      const auto again = load(items, {"--print-config", "--config", file(given->output())});
      ASSERT_TRUE(again) << again.error().message();
      EXPECT_EQ(settings(again->output()), settings(given->output()));
    }
  }
}

TEST_F(PrintConfig, shows_each_item_once_with_its_documentation) {
  for (const Schema& items : programs()) {
    const std::string printed = load(items, {"--print-config"})->output();
    for (const Item& item : items.items()) {
      EXPECT_THAT(printed, testing::HasSubstr("\n# " + item.doc + "\n"));
      const std::string line = "\n" + item.name + " = ";
      const size_t first = printed.find(line);
      EXPECT_NE(first, std::string::npos) << item.name;
      EXPECT_EQ(printed.find(line, first + 1), std::string::npos) << item.name;
    }
  }
}

TEST_F(PrintConfig, takes_every_item_from_its_own_variable) {
  for (const Schema& items : programs()) {
    Environment env;
    for (const Item& item : items.items())
      env[items.env_name(item.name)] = other(item);
    const auto values = load(items, {}, env);
    ASSERT_TRUE(values) << values.error().message();
    EXPECT_THAT(values->warnings(), testing::IsEmpty());
    for (const Item& item : items.items())
      EXPECT_EQ(values->origin(item.name), items.env_name(item.name));
  }
}

TEST_F(PrintConfig, helps_with_every_flag) {
  for (const Schema& items : programs()) {
    const std::string help = load(items, {"--help"})->output();
    EXPECT_THAT(help, testing::HasSubstr(items.purpose()));
    for (const Item& item : items.items())
      EXPECT_THAT(help, testing::HasSubstr(item.flag()));
  }
}

}  // namespace
}  // namespace tarn::config
