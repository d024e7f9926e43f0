#include <csignal>
#include <filesystem>
#include <ostream>
#include <system_error>

#include "cli/command.h"
#include "cli/credentials_folder.h"
#include "cli/dev_child.h"
#include "cli/dev_folder.h"
#include "cli/probe.h"
#include "cli/supervisor.h"
#include "cli/text.h"
#include "common/base/units.h"

namespace tarn::cli {
namespace {

constexpr uint64_t kServerBytesMin = 128 * kMiB;

struct DevOptions {
  std::string data;
  std::string listen = "127.0.0.1:7420";
  std::string dram_bytes = "1GiB";
  uint32_t servers = 1;
  bool is_child = false;
  pid_t parent = 0;
};

Result<std::string> data_folder(const DevOptions& options) {
  if (options.data.empty()) return default_folder();
  std::error_code error;
  const auto absolute = std::filesystem::absolute(options.data, error);
  if (error) return invalid_argument("--data = \"" + options.data + "\" is not a path");
  return absolute.lexically_normal().string();
}

Result<uint64_t> dram_bytes_of(const DevOptions& options) {
  TARN_ASSIGN_OR_RETURN(const uint64_t bytes, parse_bytes("--dram-bytes", options.dram_bytes));
  if (bytes / options.servers < kServerBytesMin) {
    return invalid_argument("--dram-bytes = \"" + options.dram_bytes + "\": each server needs " +
                            format_bytes(kServerBytesMin));
  }
  return bytes;
}

// A free port stays the same when the child starts again.
Result<std::string> fixed_endpoint(const std::string& listen) {
  TARN_ASSIGN_OR_RETURN(const HostPort where, parse_host_port("--listen", listen));
  if (where.host.empty() || where.host == "0.0.0.0" || where.host == "::") {
    return invalid_argument("--listen = \"" + listen +
                            "\" is no address that clients can reach: name one of this machine");
  }
  TARN_ASSIGN_OR_RETURN(const uint16_t port, try_listen(listen));
  const bool is_v6 = where.host.find(':') != std::string::npos;
  return (is_v6 ? "[" + where.host + "]" : where.host) + ":" + std::to_string(port);
}

Status run_child(const DevOptions& options) {
  DevChildOptions child;
  TARN_ASSIGN_OR_RETURN(child.folder, data_folder(options));
  TARN_ASSIGN_OR_RETURN(child.dram_bytes, dram_bytes_of(options));
  child.listen = options.listen;
  child.servers = options.servers;
  child.parent = options.parent;
  return run_dev_child(child);
}

std::vector<std::string> child_command(const DevOptions& options, const DevFolder& folder,
                                       const std::string& endpoint) {
  return {"/proc/self/exe",
          "dev",
          "--child",
          "--parent",
          std::to_string(::getpid()),
          "--data",
          folder.path(),
          "--listen",
          endpoint,
          "--servers",
          std::to_string(options.servers),
          "--dram-bytes",
          options.dram_bytes};
}

std::string how_to_use(const std::string& folder, const std::string& endpoint) {
  const auto usual = default_folder();
  std::string text = "Tarn is ready at " + endpoint + "; Ctrl-C stops it.\n" +
                     "Data, credentials and log are in " + folder + ".\n\n";
  if (!usual || *usual != folder) text += "    export TARN_CREDENTIALS=" + folder + "\n\n";
  return text +
         "    import tarn\n"
         "    client = tarn.Client.connect()\n"
         "    space = client.open_space(tarn.SpaceSpec(model=\"m\", dtype=\"fp16\", "
         "layout=\"raw\"))\n\n"
         "See `tarn status`, and `tarn put FILE --model m` for a first block.\n";
}

// Tells what becomes of the child: words for people, or a line of JSON for each event.
class DevVoice {
 public:
  DevVoice(const DevFolder& folder, std::string endpoint, Terminal& terminal)
      : x_folder(folder), x_endpoint(std::move(endpoint)), x_terminal(terminal) {}

  void say(const ChildEvent& event) {
    if (event.kind == ChildEvent::Kind::ready) say_ready(event);
    if (event.kind == ChildEvent::Kind::died) say_died(event);
    x_terminal.out.flush();
  }

 private:
  void say_ready(const ChildEvent& event) {
    if (x_terminal.is_json) {
      x_terminal.out << Json::object()
                            .set("event", "ready")
                            .set("endpoint", x_endpoint)
                            .set("credentials", x_folder.path())
                            .set("child_pid", event.pid)
                            .set("starts", event.starts)
                            .line()
                     << '\n';
    } else if (event.starts == 1) {
      x_terminal.out << how_to_use(x_folder.path(), x_endpoint);
    } else {
      x_terminal.err << "tarn: it is ready again\n";
    }
  }

  void say_died(const ChildEvent& event) {
    if (x_terminal.is_json) {
      x_terminal.out << Json::object()
                            .set("event", "died")
                            .set("child_pid", event.pid)
                            .set("of", event.words)
                            .line()
                     << '\n';
    } else {
      x_terminal.err << "tarn: the child died of " << event.words << " and is started again; see "
                     << x_folder.log_file() << '\n';
    }
  }

  const DevFolder& x_folder;
  const std::string x_endpoint;
  Terminal& x_terminal;
};

Status supervise(const DevOptions& options, Terminal& terminal) {
  TARN_ASSIGN_OR_RETURN(const std::string path, data_folder(options));
  TARN_RETURN_IF_ERROR(dram_bytes_of(options).status());
  TARN_ASSIGN_OR_RETURN(const DevFolder folder, DevFolder::open(path));
  TARN_ASSIGN_OR_RETURN(const std::string endpoint, fixed_endpoint(options.listen));
  TARN_RETURN_IF_ERROR(folder.prepare(endpoint, options.servers));
  DevVoice voice(folder, endpoint, terminal);
  SupervisorOptions wanted;
  wanted.command = child_command(options, folder, endpoint);
  wanted.log_file = folder.log_file();
  wanted.on_event = [&](const ChildEvent& event) {
    voice.say(event);
    if (event.kind != ChildEvent::Kind::tick) return true;
    // A failure is told in time: the token is good for weeks more.
    const Status renewed = folder.prepare(endpoint, options.servers);
    if (!renewed.is_ok()) terminal.err << "tarn: " << renewed.message() << '\n';
    return true;
  };
  TARN_ASSIGN_OR_RETURN(Supervisor supervisor, Supervisor::open(std::move(wanted)));
  return supervisor.run();
}

Status run_dev(const DevOptions& options, Terminal& terminal) {
  return options.is_child ? run_child(options) : supervise(options, terminal);
}

}  // namespace

void add_dev_command(CLI::App& app, Invocation& chosen) {
  CLI::App& command = add_command(app, chosen, "dev",
                                  "Run a router and storage servers on this machine, kept alive");
  const auto options = std::make_shared<DevOptions>();
  command.add_option("--data", options->data,
                     "Folder of data, secrets and credentials (default: ~/.tarn/dev)");
  command
      .add_option("--listen", options->listen, "HOST:PORT of the router; port 0 takes a free one")
      ->capture_default_str();
  command.add_option("--dram-bytes", options->dram_bytes, "Memory of all servers together")
      ->capture_default_str();
  command.add_option("--servers", options->servers, "How many storage servers")
      ->check(CLI::Range(1u, kDevServersMax))
      ->capture_default_str();
  // An empty group keeps what is between supervisor and child out of the help.
  command.add_flag("--child", options->is_child)->group("");
  command.add_option("--parent", options->parent)->group("");
  on_run(command, chosen, options, run_dev);
}

}  // namespace tarn::cli
