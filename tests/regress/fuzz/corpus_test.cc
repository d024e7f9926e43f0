#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "proto/tarn/v1/storage.pb.h"

// The fuzzers' own entry points, under a name each.
#define LLVMFuzzerTestOneInput fuzz_bulk_frame
#include "tests/fuzz/fuzz_bulk_frame.cc"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_link
#include "tests/fuzz/fuzz_link.cc"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_region
#include "tests/fuzz/fuzz_region.cc"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_ucx_address
#include "tests/fuzz/fuzz_ucx_address.cc"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_wire
#include "tests/fuzz/fuzz_wire.cc"
#undef LLVMFuzzerTestOneInput

namespace tarn {
namespace {

using Fuzzer = int (*)(const uint8_t*, size_t);
using Seeds = std::map<std::string, std::string>;

const std::filesystem::path kCorpus = std::filesystem::path(TARN_SOURCE_DIR) / "tests/fuzz/corpus";

void feed(Fuzzer fuzzer, const std::string& bytes) {
  fuzzer(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// A frame after the size of the slices in which it arrives.
std::string frame_in_slices(uint8_t step, const v1::BulkFrame& frame) {
  return static_cast<char>(step - 1) + frame.SerializeAsString();
}

Seeds bulk_frame_seeds() {
  v1::BulkFrame frame;
  frame.set_lane(3);
  frame.set_header(std::string(72, 'h'));
  Seeds seeds = {{"header_only", frame_in_slices(255, frame)}};
  frame.set_payload(std::string(300, 'p'));
  seeds["in_one_slice"] = frame_in_slices(0, frame);
  seeds["in_bytes"] = frame_in_slices(1, frame);
  const std::string whole = frame.SerializeAsString();
  seeds["cut_in_its_payload"] = '\x10' + whole.substr(0, whole.size() / 2);
  // What protobuf allows and no peer of ours writes: a field twice, an unknown field, a length that
  // lies.
  seeds["twice"] = '\x20' + whole + whole;
  seeds["unknown_field"] = '\x20' + std::string("\x7a\x02zz", 4) + whole;
  seeds["length_that_lies"] = std::string("\x20\x12\xff\xff\xff\xff\x0f", 7);
  seeds["length_of_ten_bytes"] =
      std::string("\x01\x12\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12);
  return seeds;
}

// Steps of LinkInput: 0 get, 1 put, 2 ping, 3 answer, 6 land, 8 end a send, 9 let time go by; what
// follows each are its choices.
Seeds link_seeds() {
  return {
      {"get_answered_block_by_block",
       std::string("\x00\x32\x00\x03\x01\x00\x00\x00\x3f\x07\x06\x00\x01\x07\x03\x01\x01\x01\x01"
                   "\x02",
                   20)},
      {"put_acknowledged", std::string("\x01\x32\x00\x03\x01\x00\x00\x02\x08\x00", 10)},
      {"put_acknowledged_before_its_send_ends",
       std::string("\x01\x32\x00\x03\x01\x00\x00\x02\x03\x01\x00\x00\x02\x08\x00", 15)},
      {"ping_that_is_late", std::string("\x02\x05\x00\x09\x06\x03\x01\x00\x00\x03", 10)},
      {"sends_that_are_refused", std::string("\x00\x32\xff\x01\x32\xfe\x02\x05\xff", 9)},
      {"answers_to_nobody", std::string("\x03\x00\x00\x00\x00\x01\x01\x03\x07\x02\x05\x04", 12)},
      {"a_payload_lands_after_the_deadline",
       std::string("\x00\x05\x00\x03\x01\x00\x00\x00\x3f\x07\x09\xff\x06\x00\x00\x00", 16)},
      {"many_at_once",
       [] {
         std::string all;
         for (int i = 0; i < 70; ++i)
           all += std::string("\x00\x20\x00\x01\x20\x00\x02\x20\x00", 9);
         return all;
       }()},
  };
}

Seeds ucx_address_seeds() {
  const fabric::UcxIdentity ours{"ucx", "1.13.1", "s"};
  const auto body = [](const fabric::UcxIdentity& identity, const std::string& address) {
    return fabric::wrap_ucx_address(identity, address).substr(8);
  };
  Seeds seeds = {
      {"ours", body(ours, std::string(60, 'a'))},
      {"another_version", body({"ucx", "1.14.0", "s"}, "a")},
      {"another_kind", body({"ucx_shm", "1.13.1", "s"}, "a")},
      {"other_settings", body({"ucx", "1.13.1", "other"}, "a")},
      {"largest", body(ours, std::string(fabric::kUcxWorkerAddressBytesMax, 'a'))},
  };
  seeds["cut"] = seeds["ours"].substr(0, 9);
  seeds["with_a_tail"] = seeds["ours"] + "tail";
  return seeds;
}

struct Corpus {
  const char* name;
  Fuzzer fuzzer;
  Seeds seeds;
};

std::vector<Corpus> corpora() {
  return {{"bulk_frame", fuzz_bulk_frame, bulk_frame_seeds()},
          {"link", fuzz_link, link_seeds()},
          {"region", fuzz_region, {}},
          {"ucx_address", fuzz_ucx_address, ucx_address_seeds()},
          {"wire", fuzz_wire, {}}};
}

// A format that changes its bytes shows here: TARN_WRITE_CORPUS=1 writes the seeds anew.
TEST(FuzzCorpus, seeds_are_what_this_test_says) {
  for (const Corpus& corpus : corpora()) {
    for (const auto& [name, bytes] : corpus.seeds) {
      const auto path = kCorpus / corpus.name / name;
      if (std::getenv("TARN_WRITE_CORPUS") != nullptr) {
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path, std::ios::binary) << bytes;
      }
      EXPECT_EQ(read_file(path), bytes) << path;
    }
  }
}

TEST(FuzzCorpus, every_file_goes_through_its_parser) {
  for (const Corpus& corpus : corpora()) {
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(kCorpus / corpus.name)) {
      SCOPED_TRACE(entry.path());
      feed(corpus.fuzzer, read_file(entry.path()));
      ++files;
    }
    EXPECT_GE(files, 7u) << corpus.name;
  }
}

TEST(FuzzCorpus, every_folder_has_a_fuzzer_and_every_fuzzer_a_folder) {
  size_t folders = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kCorpus)) {
    const std::string source = "fuzz_" + entry.path().filename().string() + ".cc";
    EXPECT_TRUE(std::filesystem::exists(kCorpus.parent_path() / source)) << source;
    ++folders;
  }
  EXPECT_EQ(folders, corpora().size());
}

// Cut at every place, and with seeded changes: a taste of what the fuzzers do for longer.
TEST(FuzzCorpus, files_that_are_cut_or_changed_go_through_too) {
  std::mt19937_64 dice(20261122);
  for (const Corpus& corpus : corpora()) {
    for (const auto& entry : std::filesystem::directory_iterator(kCorpus / corpus.name)) {
      const std::string bytes = read_file(entry.path());
      if (bytes.empty() || bytes.size() > 400) continue;
      for (size_t cut = 0; cut < bytes.size(); cut += 1 + bytes.size() / 40)
        feed(corpus.fuzzer, bytes.substr(0, cut));
      for (int round = 0; round < 40; ++round) {
        std::string changed = bytes;
        for (int flips = 0; flips <= round % 4; ++flips)
          changed[dice() % changed.size()] = static_cast<char>(dice());
        feed(corpus.fuzzer, changed);
      }
    }
  }
}

}  // namespace
}  // namespace tarn
