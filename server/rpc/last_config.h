#pragma once

#include <string>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/ring/config.h"

namespace tarn::server {

// Whose last config it is, and where it lies.
struct LastConfigPlace {
  std::string folder;  // the server's data folder
  std::string server;  // its name
  Incarnation incarnation;

  std::string path() const { return folder + "/last_config"; }
};

// The config that a server ran last, so that it goes on under it when it restarts while no router
// can be reached: eight bytes of magic, a CRC32C of the rest, the server's incarnation, then the
// config as routers send it. Of mode 0600, as the keys of tickets are in it.

// Replaces the file; all of it or, after a crash too, none of it. Blocks on the disk. Returns: ok,
// unavailable with the reason of the system.
Status keep_config(const LastConfigPlace& place, const ring::ClusterConfig& config);

// Returns: the config; not_found (none was kept); corrupt (damaged); conflict (of another server,
// or of an earlier life of this one, whose session logs are gone); permission_denied (others may
// read it); unavailable. Messages name the file.
Result<ring::ClusterConfig> read_last_config(const LastConfigPlace& place);

}  // namespace tarn::server
