#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/fuzz/wire_input.h"
#include "tests/unit/wire/samples.h"

namespace tarn::wire {
namespace {

std::filesystem::path corpus() {
  return std::filesystem::path(TARN_SOURCE_DIR) / "tests/fuzz/corpus/wire";
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

Bytes bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// The seeds are the samples; a message that changes its bytes changes the protocol, so it shows
// here and in docs/WIRE.md. TARN_WRITE_CORPUS=1 writes them anew.
TEST(Corpus, SeedsAreTheSamplesByteForByte) {
  for (const auto& [name, header] : samples::signed_headers()) {
    const std::string text(reinterpret_cast<const char*>(header.bytes.data()), header.size);
    if (std::getenv("TARN_WRITE_CORPUS") != nullptr) {
      std::ofstream(corpus() / name, std::ios::binary) << text;
    }
    EXPECT_EQ(to_hex(read_file(corpus() / name)), to_hex(text)) << name;
  }
}

TEST(Corpus, EverySeedHoldsWhatTheFuzzerAsks) {
  size_t seeds = 0;
  for (const auto& entry : std::filesystem::directory_iterator(corpus())) {
    check_wire_input(bytes_of(read_file(entry.path())));
    ++seeds;
  }
  EXPECT_GE(seeds, samples::signed_headers().size());
}

TEST(Corpus, ShortenedAndChangedSeedsHoldItToo) {
  for (const auto& [name, header] : samples::signed_headers()) {
    // The largest differ from the small ones only by how often an item is repeated.
    if (header.size > 1024) continue;
    for (size_t i = 0; i < header.size; ++i) {
      check_wire_input(header.view().first(i));
      for (const auto flip : {std::byte{1}, std::byte{0x80}, std::byte{0xff}}) {
        HeaderBuffer changed = header;
        changed.bytes[i] ^= flip;
        check_wire_input(changed.view());
      }
    }
  }
}

}  // namespace
}  // namespace tarn::wire
