#include "router/options.h"

namespace tarn::router {

config::Schema router_schema() {
  config::Schema items("tarn-router", "Serves a Tarn cluster's config, sessions and index.");
  items.add_string("name", "router-1", "This router's name, as in its certificate.");
  items.add_string("listen", "127.0.0.1:7400", "HOST:PORT of its gRPC server; port 0 takes any.");
  items.add_string("authority", "file:tarn-config",
                   "Where the config is kept: etcd:http://HOST:PORT, or file:FOLDER for one router "
                   "on one machine.");
  items.add_string("cluster", "tarn", "The cluster's name; one etcd can keep several.");
  items.add_string("state_dir", "tarn-router-state",
                   "Folder for what only makes a restart faster; it may be removed.");
  items.add_string("secrets_dir", "tarn-secrets", "Folder of certificates and keys (tarn certs).");
  items.add_string("metrics_listen", "", "HOST:PORT for Prometheus; empty for none.");
  items.add_bool("insecure_loopback", false,
                 "Plain TCP with tokens instead of TLS; only on a loopback address.");
  items.add_duration_ms("beat_interval", Millis(150), "How often servers and workers beat.",
                        {10, 60'000});
  items.add_duration_ms("dead_after", Millis(600),
                        "Silence after which a server or worker counts as dead.", {50, 600'000});
  items.add_enum("log_level", "info", {"debug", "info", "warning", "error"}, "What is logged.");
  return items;
}

Result<RouterOptions> router_options(const config::Values& values) {
  if (values.get_duration_ms("dead_after") < 2 * values.get_duration_ms("beat_interval")) {
    return values.refuse("dead_after", "must be at least twice beat_interval");
  }
  RouterOptions options;
  options.name = values.get_string("name");
  options.listen = values.get_string("listen");
  options.authority = values.get_string("authority");
  options.cluster = values.get_string("cluster");
  options.state_dir = values.get_string("state_dir");
  options.secrets_dir = values.get_string("secrets_dir");
  options.metrics_listen = values.get_string("metrics_listen");
  options.insecure_loopback = values.get_bool("insecure_loopback");
  options.timing.interval = values.get_duration_ms("beat_interval");
  options.timing.dead_after = values.get_duration_ms("dead_after");
  return options;
}

}  // namespace tarn::router
