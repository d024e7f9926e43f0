#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "cli/app.h"

namespace tarn::cli {

// What one `tarn ...` said and left with.
struct Ran {
  int exit = 0;
  std::string out;
  std::string err;
};

inline Ran run_tarn(std::vector<std::string> words) {
  words.insert(words.begin(), "tarn");
  std::vector<const char*> argv;
  for (const std::string& word : words)
    argv.push_back(word.c_str());
  std::ostringstream out;
  std::ostringstream err;
  const int exit = run(static_cast<int>(argv.size()), argv.data(), Terminal{out, err});
  return {exit, out.str(), err.str()};
}

inline std::string file_text(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// A test with a folder of its own, removed at its end.
class InFolder : public testing::Test {
 protected:
  InFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "tarn-cli-XXXXXX").string();
    base = ::mkdtemp(name.data());
  }
  ~InFolder() override { std::filesystem::remove_all(base); }

  std::string at(const std::string& name) const { return base + "/" + name; }

  std::string base;
};

}  // namespace tarn::cli
