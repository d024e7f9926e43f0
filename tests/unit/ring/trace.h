#pragma once

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace tarn::ring {

// The block ids of each request of tests/data/conversation_runs.txt, in time order; see the README
// there for the format.
inline std::vector<std::vector<uint32_t>> read_conversation() {
  std::vector<std::vector<uint32_t>> requests;
  std::ifstream file(TARN_SOURCE_DIR "/tests/data/conversation_runs.txt");
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string timestamp, input, output, runs, run;
    fields >> timestamp >> input >> output >> runs;
    std::vector<uint32_t>& ids = requests.emplace_back();
    std::istringstream parts(runs);
    while (std::getline(parts, run, ',')) {
      const size_t dash = run.find('-');
      const auto first = static_cast<uint32_t>(std::stoul(run));
      const auto last = dash == std::string::npos
                            ? first
                            : static_cast<uint32_t>(std::stoul(run.substr(dash + 1)));
      for (uint32_t id = first; id <= last; ++id)
        ids.push_back(id);
    }
  }
  return requests;
}

}  // namespace tarn::ring
