#include "server/rpc/last_config.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "common/auth/secret_file.h"
#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/block/checksum.h"
#include "common/rpc/convert.h"

namespace tarn::server {
namespace {

constexpr std::string_view kName = "last_config";
constexpr std::string_view kMagic = "tarnlcf1";
constexpr size_t kCrcBytes = sizeof(uint32_t);
constexpr size_t kHeaderBytes = kMagic.size() + kCrcBytes + sizeof(uint64_t);

std::string encode(Incarnation incarnation, const ring::ClusterConfig& config) {
  std::string body(reinterpret_cast<const char*>(&incarnation.value), sizeof(incarnation.value));
  body += rpc::to_proto(config).SerializeAsString();
  const uint32_t crc = block::crc32c(0, body.data(), body.size());
  std::string bytes(kMagic);
  bytes.append(reinterpret_cast<const char*>(&crc), kCrcBytes);
  return bytes + body;
}

Status check_owner(const LastConfigPlace& place, uint64_t written_by,
                   const ring::ClusterConfig& config) {
  if (written_by != place.incarnation.value) {
    return conflict(place.path() + ": an earlier life of this server kept it, whose session logs " +
                    "are gone");
  }
  const auto self = std::find_if(config.members.begin(), config.members.end(),
                                 [&](const auto& member) { return member.name == place.server; });
  if (self == config.members.end() || self->incarnation != place.incarnation) {
    return conflict(place.path() + ": it does not know server " + place.server +
                    " with these session logs");
  }
  return Status::ok();
}

}  // namespace

Status keep_config(const LastConfigPlace& place, const ring::ClusterConfig& config) {
  TARN_DCHECK(place.path().ends_with(kName));
  if (TARN_FAULT_POINT("server.keep_config")) {
    return unavailable(place.path() + ": fault point");
  }
  return auth::write_secret_file(place.folder, std::string(kName),
                                 encode(place.incarnation, config));
}

Result<ring::ClusterConfig> read_last_config(const LastConfigPlace& place) {
  TARN_ASSIGN_OR_RETURN(const std::string bytes,
                        auth::read_secret_file(place.path(), auth::Privacy::owner));
  if (bytes.size() < kHeaderBytes || !bytes.starts_with(kMagic)) {
    return corrupt(place.path() + ": this is no config of a server");
  }
  const std::string_view body = std::string_view(bytes).substr(kMagic.size() + kCrcBytes);
  uint32_t crc = 0;
  std::memcpy(&crc, bytes.data() + kMagic.size(), sizeof(crc));
  if (crc != block::crc32c(0, body.data(), body.size())) {
    return corrupt(place.path() + ": it fails its checksum");
  }
  uint64_t written_by = 0;
  std::memcpy(&written_by, body.data(), sizeof(written_by));
  v1::ClusterConfig message;
  if (!message.ParseFromString(std::string(body.substr(sizeof(written_by))))) {
    return corrupt(place.path() + ": it holds no config");
  }
  auto config = rpc::from_proto(message);
  if (!config) return corrupt(place.path() + ": " + config.error().message());
  TARN_RETURN_IF_ERROR(check_owner(place, written_by, *config));
  return config;
}

}  // namespace tarn::server
