#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

namespace tarn::metrics {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Calls of a Registry with the name written out.
std::set<std::string> registered_names(const std::string& source) {
  static const std::regex kCall(R"re(\b(counter|gauge|histogram)\(\s*"(tarn_[a-z0-9_]*)")re");
  std::set<std::string> names;
  for (std::sregex_iterator it(source.begin(), source.end(), kCall), end; it != end; ++it) {
    names.insert((*it)[2]);
  }
  return names;
}

TEST(Docs, finds_the_names_that_a_source_registers) {
  EXPECT_EQ(registered_names("a.counter(\n    \"tarn_x_total\", \"X.\"); gauge(\"tarn_y\")"),
            (std::set<std::string>{"tarn_x_total", "tarn_y"}));
}

TEST(Docs, list_every_metric_that_the_code_registers) {
  const std::filesystem::path root = TARN_SOURCE_DIR;
  const std::string page = read(root / "docs" / "METRICS.md");
  for (const char* folder : {"common", "server", "router", "sdk/cpp/src", "cli"}) {
    if (!std::filesystem::exists(root / folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      const auto extension = entry.path().extension();
      if (extension != ".cc" && extension != ".h") continue;
      for (const std::string& name : registered_names(read(entry.path()))) {
        EXPECT_NE(page.find("\n| `" + name + "` |"), std::string::npos)
            << entry.path() << " registers " << name << ", which docs/METRICS.md does not list";
      }
    }
  }
}

}  // namespace
}  // namespace tarn::metrics
