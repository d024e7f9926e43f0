#include "benchmarks/load/bench.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "benchmarks/load/baseline_target.h"
#include "benchmarks/load/cluster.h"
#include "benchmarks/load/failover.h"
#include "benchmarks/load/interleave.h"
#include "benchmarks/load/lookup.h"
#include "benchmarks/load/tarn_target.h"
#include "benchmarks/report/machine.h"

namespace tarn::load {
namespace {

constexpr uint32_t kFailoverServers = 3;
constexpr double kUncheckedShare = 0.4;
// Of a drive: the regions that are free ahead, and room to reclaim in.
constexpr uint64_t kFlashSpareMib = 1025;
// The interpreter that the extension is built for.
constexpr const char* kPythonProgram = TARN_PYTHON_PROGRAM;
// Nothing that is looked up may have been evicted.
constexpr uint64_t kLookupDramMib = 4096;

std::string row(const std::string& name, const report::Figures& figures) {
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "%-12s %9.3f %11.1f %11.1f %11.3f\n", name.c_str(),
                figures.gb_per_s, figures.p50_us, figures.p99_us, figures.cpu_s_per_gb);
  return text.data();
}

std::string head() {
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "%-12s %9s %11s %11s %11s\n", "", "GB/s", "p50 us",
                "p99 us", "CPU s/GB");
  return text.data();
}

report::JsonObject begin_json(const Options& options) {
  report::JsonObject json;
  json.add("op", options.op);
  return json;
}

void add_machine(report::JsonObject& json) {
  json.add("tarn_version", version()).add("machine", report::describe_machine());
}

// The cluster, when it is this run's own, and the way to it.
struct Reach {
  std::unique_ptr<Cluster> cluster;
  ClientOptions client;
  std::vector<pid_t> servers;
};

Expected<Reach> reach(Stage& stage, const Options& options, uint32_t servers) {
  Reach out;
  if (options.is_attached()) {
    out.client.endpoint = options.endpoint;
    out.client.credentials = options.credentials;
  } else {
    ClusterOptions cluster;
    cluster.programs = own_folder() + "/../bin";
    cluster.servers = servers;
    cluster.dram_mib = options.dram_mib;
    cluster.is_shm = options.transport == "shm";
    cluster.is_polling = options.is_polling;
    cluster.lane_cpus = options.lane_cpus;
    if (options.is_flash) cluster.flash_mib = 2 * options.working_set_mib + kFlashSpareMib;
    cluster.flash_dir = options.flash_dir;
    auto started = Cluster::start(stage, cluster);
    if (!started) return started.error();
    out.cluster = std::move(started).value();
    auto client = out.cluster->client();
    if (!client) return client.error();
    out.client = std::move(client).value();
    out.servers = out.cluster->server_pids();
  }
  out.client.transport = transport_of(options.transport);
  out.client.polling = options.is_polling;
  return out;
}

// Turns that are taken one after another, and what their rows and keys are called.
struct Party {
  std::unique_ptr<Target> target;
  double share = 1;
};

Expected<Party> open_party(Stage& stage, const BaselineOptions& options, double share) {
  auto target = BaselineTarget::open(stage, options);
  if (!target) return target.error();
  return Party{std::move(target).value(), share};
}

// On the same file system as the drive's file, which lies in the stage's folder where no other is
// named.
Expected<Party> open_fio(Stage& stage, const Options& options) {
  auto folder = stage.folder();
  if (!folder) return folder.error();
  BaselineOptions fio;
  fio.name = "fio";
  const std::string where = options.flash_dir.empty() ? folder.value() : options.flash_dir;
  fio.words = {kPythonProgram,      "-B",         own_folder() + "/fio_loop.py",          "--file",
               where + "/fio.data", "--size-mib", std::to_string(options.working_set_mib)};
  fio.workload = options.workload;
  return open_party(stage, fio, 1);
}

// The baseline, then the baseline without checksums; none where none is wanted.
Expected<std::vector<Party>> open_baselines(Stage& stage, const Options& options) {
  std::vector<Party> parties;
  if (options.baseline == "none") return parties;
  if (options.baseline == "fio") {
    auto fio = open_fio(stage, options);
    if (!fio) return fio.error();
    parties.push_back(std::move(fio).value());
    return parties;
  }
  for (const bool is_checked : {true, false}) {
    BaselineOptions baseline;
    baseline.name = options.baseline;
    baseline.words = {own_folder() + "/tarn-bench-" + options.baseline};
    if (options.baseline == "ucx" && options.transport == "shm") baseline.words.push_back("--shm");
    baseline.workload = options.workload;
    baseline.is_checked = is_checked;
    auto party = open_party(stage, baseline, is_checked ? 1 : kUncheckedShare);
    if (!party) return party.error();
    parties.push_back(std::move(party).value());
  }
  return parties;
}

std::string join(const std::vector<pid_t>& processes) {
  std::string text;
  for (const pid_t process : processes)
    text += (text.empty() ? "" : ",") + std::to_string(process);
  return text;
}

Expected<Party> open_python(Stage& stage, const Options& options, const Reach& cluster) {
  BaselineOptions python;
  python.name = "python";
  python.words = {kPythonProgram, "-B", own_folder() + "/python_loop.py"};
  python.words.insert(python.words.end(), {"--transport", options.transport});
  python.words.insert(python.words.end(),
                      {"--working-set-mib", std::to_string(options.working_set_mib)});
  python.words.insert(python.words.end(), {"--servers", join(cluster.servers)});
  python.environment = {"PYTHONPATH=" + own_folder() + "/../python",
                        "TARN_ENDPOINT=" + cluster.client.endpoint,
                        "TARN_CREDENTIALS=" + cluster.client.credentials};
  python.workload = options.workload;
  return open_party(stage, python, 1);
}

// `slices`: ours, theirs, and theirs without checksums if there is such a thing.
void add_baseline(Report& out, const std::string& name, const std::vector<report::Slice>& slices) {
  const report::Figures theirs = report::figures_of(slices[1]);
  const report::Figures ratio = report::ratio_of(report::figures_of(slices[0]), theirs);
  out.json.add("baseline", report::json_of(theirs)).add("ratio", report::json_of_ratio(ratio));
  out.table += row(name, theirs) + row("ratio", ratio);
  if (name == "fio") return;
  const report::Figures unchecked = report::figures_of(slices[2]);
  out.json.add("baseline_nocrc", report::json_of(unchecked));
  out.table += row(name + "-nocrc", unchecked);
}

std::string heading(const Options& options, const TarnTarget& tarn) {
  return options.op + ", " + std::to_string(options.workload.block_bytes) + " bytes, " +
         std::to_string(options.workload.inflight) + " in flight, " + tarn.transport() + "\n" +
         head();
}

void add_workload(report::JsonObject& json, const Options& options, const TarnTarget& tarn) {
  json.add("block_bytes", options.workload.block_bytes)
      .add("inflight", uint64_t{options.workload.inflight})
      .add("transport", options.transport)
      .add("tier", options.is_flash ? "flash" : "dram")
      .add("connection", tarn.transport());
}

// `slices`: Tarn's, those of the baseline if any, Python's if any.
Report transfer_report(const Options& options, const TarnTarget& tarn,
                       const std::vector<report::Slice>& slices) {
  Report out;
  out.json = begin_json(options);
  add_workload(out.json, options, tarn);
  const report::Figures ours = report::figures_of(slices[0]);
  out.json.add("tarn", report::json_of(ours)).add("errors", slices[0].errors);
  out.table = heading(options, tarn) + row("tarn", ours);
  if (options.baseline != "none") add_baseline(out, options.baseline, slices);
  if (options.has_python) {
    const report::Figures python = report::figures_of(slices.back());
    const report::Figures ratio = report::ratio_of(python, ours);
    out.json.add("python", report::json_of(python))
        .add("python_ratio", report::json_of_ratio(ratio));
    out.table += row("python", python) + row("python/tarn", ratio);
  }
  out.json.add("cpu_covers", options.is_attached() ? "client" : "client and servers");
  return out;
}

Expected<std::unique_ptr<TarnTarget>> open_tarn(const Options& options, const Reach& cluster,
                                                Op op) {
  TarnTargetOptions tarn;
  tarn.client = cluster.client;
  tarn.workload = options.workload;
  tarn.workload.op = op;
  tarn.working_set_bytes = options.working_set_mib << 20;
  tarn.servers = cluster.servers;
  tarn.is_flash = options.is_flash;
  if (!options.is_attached()) tarn.fill_bytes = (options.dram_mib << 20) * 11 / 10;
  return TarnTarget::open(tarn);
}

Expected<Report> run_transfers(Stage& stage, const Options& options) {
  auto cluster = reach(stage, options, 1);
  if (!cluster) return cluster.error();
  Options same = options;
  same.workload.op = options.op == "put" ? Op::put : Op::get;
  auto tarn = open_tarn(options, *cluster, same.workload.op);
  if (!tarn) return tarn.error();
  auto others = open_baselines(stage, same);
  if (!others) return others.error();
  if (options.has_python) {
    auto python = open_python(stage, same, *cluster);
    if (!python) return python.error();
    others->push_back(std::move(python).value());
  }
  std::vector<Turn> turns = {{tarn.value().get(), 1}};
  for (const Party& other : *others)
    turns.push_back({other.target.get(), other.share});
  Plan plan;
  plan.total_ms = static_cast<int64_t>(options.seconds * 1000);
  const auto slices = interleave(turns, plan);
  if (!slices) return slices.error();
  Report out = transfer_report(options, **tarn, slices.value());
  add_machine(out.json);
  return out;
}

// One of the ways to read what a TarnTarget has put.
class Reading : public Target {
 public:
  Reading(TarnTarget& tarn, Op op) : x_tarn(tarn), x_op(op) {}
  std::string name() const override { return "tarn"; }
  Expected<report::Slice> run(int64_t millis) override {
    x_tarn.set_op(x_op);
    return x_tarn.run(millis);
  }

 private:
  TarnTarget& x_tarn;
  const Op x_op;
};

Report views_report(const Options& options, const TarnTarget& tarn,
                    const std::vector<report::Slice>& slices) {
  const report::Figures views = report::figures_of(slices[0]);
  const report::Figures verified = report::figures_of(slices[1]);
  const report::Figures get = report::figures_of(slices[2]);
  const report::Figures ratio = report::ratio_of(views, get);
  const report::Figures verified_ratio = report::ratio_of(verified, get);
  Report out;
  out.json = begin_json(options);
  add_workload(out.json, options, tarn);
  out.json.add("tarn", report::json_of(views))
      .add("errors", slices[0].errors + slices[1].errors + slices[2].errors)
      .add("verified", report::json_of(verified))
      .add("get", report::json_of(get))
      .add("ratio", report::json_of_ratio(ratio))
      .add("verified_ratio", report::json_of_ratio(verified_ratio))
      .add("cpu_covers", options.is_attached() ? "client" : "client and servers");
  out.table = heading(options, tarn) + row("views", views) + row("verified", verified) +
              row("get", get) + row("views/get", ratio) + row("verified/get", verified_ratio);
  return out;
}

// Views, views that are verified, and gets, of the same blocks by the same client.
Expected<Report> run_views(Stage& stage, const Options& options) {
  auto cluster = reach(stage, options, 1);
  if (!cluster) return cluster.error();
  auto tarn = open_tarn(options, *cluster, Op::get);
  if (!tarn) return tarn.error();
  TarnTarget& target = *tarn.value();
  Reading views(target, Op::views);
  Reading verified(target, Op::verified_views);
  Reading get(target, Op::get);
  Plan plan;
  plan.total_ms = static_cast<int64_t>(options.seconds * 1000);
  const auto slices = interleave({{&views, 1}, {&verified, 1}, {&get, 1}}, plan);
  if (!slices) return slices.error();
  Report out = views_report(options, target, slices.value());
  add_machine(out.json);
  return out;
}

Expected<Report> run_lookups(Stage& stage, const Options& options) {
  Options large = options;
  large.dram_mib = std::max(options.dram_mib, kLookupDramMib);
  auto cluster = reach(stage, large, 1);
  if (!cluster) return cluster.error();
  LookupOptions lookup;
  lookup.client = cluster->client;
  lookup.hashes = options.hashes;
  lookup.indexed_blocks = options.indexed_blocks;
  lookup.calls = options.calls;
  lookup.is_exists = options.op == "exists";
  const auto lookups = run_lookup(lookup);
  if (!lookups) return lookups.error();
  const report::Slice& calls = lookups.value().calls;
  const report::LatencyHistogram& latency = calls.latency;
  const double hashes_per_s =
      static_cast<double>(calls.blocks) * 1e9 / static_cast<double>(calls.wall_ns);
  Report out;
  out.json = begin_json(options);
  if (lookup.is_exists) out.json.add("keys", uint64_t{options.hashes});
  out.json.add("hashes", uint64_t{options.hashes})
      .add("p50_us", latency.quantile_us(0.5))
      .add("p99_us", latency.quantile_us(0.99))
      .add("hashes_per_s", hashes_per_s)
      .add("calls", latency.count())
      .add("indexed_blocks", lookups.value().indexed_blocks);
  add_machine(out.json);
  std::array<char, 200> text{};
  std::snprintf(text.data(), text.size(),
                "%s, %u hashes, %llu calls\np50 %.1f us, p99 %.1f us, %.3g hashes/s\n",
                options.op.c_str(), options.hashes,
                static_cast<unsigned long long>(latency.count()), latency.quantile_us(0.5),
                latency.quantile_us(0.99), hashes_per_s);
  out.table = text.data();
  return out;
}

std::string add_kill(report::JsonObject& json, const std::string& name,
                     const report::Slice& slice) {
  const double p50_ms = slice.latency.quantile_us(0.5) / 1e3;
  const double p99_ms = slice.latency.quantile_us(0.99) / 1e3;
  report::JsonObject part;
  part.add("rounds", slice.latency.count()).add("p50_ms", p50_ms).add("p99_ms", p99_ms);
  json.add(name, part);
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "%-14s %3llu rounds: p50 %.1f ms, p99 %.1f ms\n",
                name.c_str(), static_cast<unsigned long long>(slice.latency.count()), p50_ms,
                p99_ms);
  return text.data();
}

Expected<Report> run_failover(Stage& stage, const Options& options) {
  if (options.is_attached()) {
    return Error{Outcome::invalid_argument, "--endpoint: failover kills only what it has started"};
  }
  Options small = options;
  small.dram_mib = std::min<uint64_t>(options.dram_mib, 512);
  auto cluster = reach(stage, small, kFailoverServers);
  if (!cluster) return cluster.error();
  FailoverOptions failover;
  failover.rounds = options.rounds;
  failover.program = own_folder() + "/tarn-bench";
  const auto servers = kill_servers(*cluster->cluster, failover);
  if (!servers) return servers.error();
  const auto workers = kill_workers(stage, *cluster->cluster, failover);
  if (!workers) return workers.error();
  Report out;
  out.json = begin_json(options);
  out.table = "From SIGKILL to the first good get, and to a session's first block elsewhere\n";
  out.table += add_kill(out.json, "server_killed", servers.value());
  out.table += add_kill(out.json, "worker_killed", workers.value());
  add_machine(out.json);
  return out;
}

}  // namespace

std::string own_folder() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
}

Expected<Report> run_bench(Stage& stage, const Options& options) {
  if (options.op == "failover") return run_failover(stage, options);
  if (options.op == "match" || options.op == "exists") return run_lookups(stage, options);
  if (options.op == "views") return run_views(stage, options);
  return run_transfers(stage, options);
}

}  // namespace tarn::load
