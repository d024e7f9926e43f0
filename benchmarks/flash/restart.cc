#include "benchmarks/flash/restart.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/block/checksum.h"
#include "server/flash/drive/flash_drives.h"
#include "server/io/drive_label.h"
#include "server/io/page_buffer.h"

namespace tarn::flash_bench {
namespace {

constexpr uint64_t kUnderWay = 1024;
constexpr uint64_t kReads = 2000;

using Drives = std::unique_ptr<flash::FlashDrives>;

block::BlockKey key_of(uint64_t number) {
  block::BlockKey key;
  key.tenant.bytes.fill(1);
  key.space.bytes.fill(2);
  key.hash = block::BlockHash::from("block " + std::to_string(number)).value();
  return key;
}

double seconds_since(Instant began) {
  return std::chrono::duration<double>(system_clock().now() - began).count();
}

Result<Drives> open(const RestartOptions& options) {
  const uint64_t stored = options.blocks * (options.block_bytes + flash::kPageBytes);
  flash::FlashDrivesOptions made;
  made.paths = {options.path};
  made.admission = flash::AdmissionMode::off;
  made.bytes = io::kLabelAreaBytes + (stored / flash::kRegionBytes + 4) * flash::kRegionBytes;
  return flash::FlashDrives::open(made);
}

// All blocks, with a bounded number under way. Returns how many were not kept.
uint64_t fill(flash::FlashDrives& drives, const RestartOptions& options,
              const std::shared_ptr<io::PageBuffer>& payload) {
  std::atomic<uint64_t> under_way{0};
  std::atomic<uint64_t> failed{0};
  const auto bytes = std::as_const(*payload).bytes().first(options.block_bytes);
  const uint32_t crc = block::crc32c(0, bytes.data(), bytes.size());
  for (uint64_t i = 0; i < options.blocks; ++i) {
    for (uint64_t n = under_way; n >= kUnderWay; n = under_way)
      under_way.wait(n);
    flash::DriveWrite write;
    write.entry.header.key = key_of(i);
    write.entry.header.anchor = write.entry.header.key.hash;
    write.entry.header.payload_bytes = options.block_bytes;
    write.entry.header.payload_crc = crc;
    write.payload = bytes;
    write.done = [&](const Status& outcome, bool) {
      failed += outcome.is_ok() ? 0 : 1;
      --under_way;
      under_way.notify_one();
    };
    write.freed = [] {};
    ++under_way;
    if (!drives.write(std::move(write)).is_ok()) {
      ++failed;
      --under_way;
    }
  }
  for (uint64_t n = under_way; n > 0; n = under_way)
    under_way.wait(n);
  return failed;
}

// Of blocks spread over all of them, one after the other. Returns how many did not come back.
uint64_t read_some(flash::FlashDrives& drives, const RestartOptions& options,
                   std::vector<double>& micros) {
  uint64_t failed = 0;
  io::PageBuffer into(options.block_bytes);
  for (uint64_t i = 0; i < kReads; ++i) {
    const block::BlockKey key = key_of(i * (options.blocks / kReads) % options.blocks);
    const auto place = drives.index().find(key);
    if (!place) {
      ++failed;
      continue;
    }
    std::promise<bool> came;
    flash::DriveRead read;
    read.key = key;
    read.place = *place;
    read.into = into.bytes();
    read.done = [&](const Result<flash::Entry>& entry, bool) { came.set_value(entry.has_value()); };
    read.freed = [] {};
    const Instant began = system_clock().now();
    const bool is_taken = drives.read(std::move(read)).is_ok();
    failed += is_taken && came.get_future().get() ? 0 : 1;
    micros.push_back(seconds_since(began) * 1e6);
  }
  std::ranges::sort(micros);
  return failed;
}

}  // namespace

Result<report::JsonObject> run_restart(const RestartOptions& options) {
  report::JsonObject json;
  json.add("blocks", options.blocks).add("block_bytes", options.block_bytes);
  {
    TARN_ASSIGN_OR_RETURN(const Drives drives, open(options));
    const auto payload = std::make_shared<io::PageBuffer>(options.block_bytes);
    const Instant began = system_clock().now();
    const uint64_t failed = fill(*drives, options, payload);
    const double took = seconds_since(began);
    const auto stats = drives->stats().front();
    std::printf("fill: %.1f s, %.0f blocks/s, %llu not kept\n", took,
                static_cast<double>(options.blocks) / took,
                static_cast<unsigned long long>(failed));
    json.add("fill_s", took).add("not_kept", failed);
    json.add("index_bytes_per_block", static_cast<double>(drives->index().memory_bytes()) /
                                          static_cast<double>(drives->index().blocks()));
    drives->close();
    const auto last = drives->stats().front();
    json.add("write_amplification", static_cast<double>(last.bytes_written) /
                                        static_cast<double>(stats.payload_bytes_written));
  }
  std::vector<double> restarts;
  for (uint32_t round = 0; round < options.rounds; ++round) {
    const Instant began = system_clock().now();
    TARN_ASSIGN_OR_RETURN(const Drives drives, open(options));
    restarts.push_back(seconds_since(began));
    std::vector<double> micros;
    const uint64_t failed = read_some(*drives, options, micros);
    std::printf(
        "restart %u: %.2f s, %llu blocks, %.1f bytes of index each; of %llu reads %llu "
        "failed, p50 %.0f us\n",
        round + 1, restarts.back(), static_cast<unsigned long long>(drives->index().blocks()),
        static_cast<double>(drives->index().memory_bytes()) /
            static_cast<double>(drives->index().blocks()),
        static_cast<unsigned long long>(kReads), static_cast<unsigned long long>(failed),
        micros.empty() ? 0.0 : micros[micros.size() / 2]);
    if (round == 0) json.add("failed_reads", failed).add("found", drives->index().blocks());
  }
  std::ranges::sort(restarts);
  json.add("restart_s", restarts[restarts.size() / 2]);
  std::error_code ignored;
  std::filesystem::remove(options.path, ignored);
  return json;
}

}  // namespace tarn::flash_bench
