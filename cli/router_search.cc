#include "cli/router_search.h"

#include <algorithm>
#include <string_view>

namespace tarn::cli {
namespace {

constexpr size_t kRoutersMax = 64;

std::vector<std::string> split_at_commas(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty() && words.size() < kRoutersMax) {
    const size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) words.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return words;
}

}  // namespace

Result<RouterSearch> find_routers(const ClusterFlags& flags, Speaker speaker) {
  RouterSearch found;
  TARN_ASSIGN_OR_RETURN(found.folder, find_folder(flags.credentials));
  TARN_ASSIGN_OR_RETURN(found.proof, speaker == Speaker::client ? read_client_proof(found.folder)
                                                                : read_proof(found.folder));
  TARN_ASSIGN_OR_RETURN(const std::string endpoint, find_endpoint(flags.endpoint, found.proof));
  found.endpoints = split_at_commas(endpoint);
  found.timeout = Millis(flags.timeout_ms);
  if (found.endpoints.empty()) return invalid_argument("--endpoint names no router");
  return found;
}

}  // namespace tarn::cli
