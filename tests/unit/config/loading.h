#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/config/load.h"

namespace tarn::config {

// Loads any schema as a program would, with one configuration file for the length of a test.
class Loading : public testing::Test {
 protected:
  Loading() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    x_folder = std::filesystem::temp_directory_path() /
               ("tarn_loading_" + std::to_string(::getpid()) + "_" + info->name());
    std::filesystem::create_directories(x_folder);
  }
  ~Loading() override { std::filesystem::remove_all(x_folder); }

  std::string path() const { return (x_folder / "program.toml").string(); }

  std::string file(const std::string& text) const {
    std::ofstream(path(), std::ios::binary) << text;
    return path();
  }

  static Result<Values> load(const Schema& schema, std::vector<std::string> args,
                             const Environment& env = {}) {
    std::vector<const char*> argv = {schema.program().c_str()};
    for (const std::string& arg : args)
      argv.push_back(arg.c_str());
    return config::load(schema, static_cast<int>(argv.size()), argv.data(), env);
  }

 private:
  std::filesystem::path x_folder;
};

// The value in effect of an item as TOML writes it, whatever its kind.
inline std::string shown(const Values& values, const std::string& name) {
  const std::string text = values.to_toml();
  const size_t begin = text.find("\n" + name + " = ") + name.size() + 4;
  return text.substr(begin, text.find('\n', begin) - begin);
}

}  // namespace tarn::config
