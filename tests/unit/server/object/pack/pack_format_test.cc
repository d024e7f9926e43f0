#include "server/object/pack/pack_format.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/server/object/blocks.h"

namespace tarn::object {
namespace {

const flash::RegionStamp kStamp = pack_stamp("s1", 77);

std::vector<std::byte> pack_of(const std::vector<TestBlock>& blocks) {
  PackBuilder builder(kStamp, 0);
  for (const TestBlock& block : blocks)
    EXPECT_TRUE(builder.add(block.entry, block.payload));
  const auto bytes = builder.seal();
  return {bytes.begin(), bytes.end()};
}

Result<std::vector<flash::Entry>> entries_of(const flash::RegionStamp& stamp,
                                             std::span<const std::byte> pack) {
  const auto bytes = footer_size(stamp, pack);
  if (!bytes) return bytes.error();
  if (*bytes > pack.size()) return corrupt("larger than the pack");
  return read_footer(stamp, pack.size(), pack.last(*bytes));
}

TEST(PackFormat, NamesThereAndBack) {
  EXPECT_EQ(pack_key("s1", 0xab), "v1/s1/00000000000000ab.pack");
  EXPECT_EQ(parse_name("s1", pack_key("s1", 0xab))->number, 0xabu);
  EXPECT_FALSE(parse_name("s1", pack_key("s1", 0xab))->is_notes);
  EXPECT_TRUE(parse_name("s1", notes_key("s1", 0xab))->is_notes);
  for (const char* name :
       {"", "v1/s1/", "v1/s1/ab.pack", "v1/s2/00000000000000ab.pack", "v2/s1/00000000000000ab.pack",
        "v1/s1/00000000000000ab.zip", "v1/s1/00000000000000AB.pack", "v1/s1/0000000000000000.pack",
        "v1/s1/-0000000000000ab.pack"})
    EXPECT_FALSE(parse_name("s1", name)) << name;
}

TEST(PackFormat, APackNamesWhatLiesInIt) {
  const std::vector<TestBlock> blocks = {TestBlock(1), TestBlock(2, 5000), TestBlock(3, 4096)};
  const auto pack = pack_of(blocks);
  const auto entries = entries_of(kStamp, pack);
  ASSERT_TRUE(entries) << entries.status().to_string();
  ASSERT_EQ(entries->size(), blocks.size());
  for (size_t i = 0; i < blocks.size(); ++i) {
    const flash::Entry& entry = (*entries)[i];
    EXPECT_EQ(entry.header.key, blocks[i].key());
    EXPECT_EQ(entry.put_in, Epoch{5});
    EXPECT_EQ(
        std::memcmp(pack.data() + entry.offset, blocks[i].payload.data(), blocks[i].payload.size()),
        0);
    const auto group =
        flash::decode_group(kStamp, entry.offset - flash::kPageBytes,
                            std::span(pack).subspan(entry.offset - flash::kPageBytes, 4096));
    ASSERT_TRUE(group);
    EXPECT_EQ(group->entries, std::vector{entry});
  }
}

TEST(PackFormat, ItsSizeIsKnownBefore) {
  PackBuilder builder(kStamp, 0);
  const TestBlock block(1, 70'000);
  const uint64_t told = builder.bytes_with(block.payload.size());
  ASSERT_TRUE(builder.add(block.entry, block.payload));
  EXPECT_EQ(builder.seal().size(), told);
}

TEST(PackFormat, OfAnotherServerOrNumberItIsNone) {
  const auto pack = pack_of({TestBlock(1)});
  EXPECT_EQ(entries_of(pack_stamp("s2", 77), pack).status().code(), Code::corrupt);
  EXPECT_EQ(entries_of(pack_stamp("s1", 78), pack).status().code(), Code::corrupt);
}

TEST(PackFormat, CutOrChangedItIsNone) {
  const auto pack = pack_of({TestBlock(1), TestBlock(2)});
  for (const size_t bytes : {size_t{0}, size_t{4095}, size_t{4096}, pack.size() - 1})
    EXPECT_FALSE(entries_of(kStamp, std::span(pack).first(bytes))) << bytes;
  // Its front is missing: the footer names more than there is.
  EXPECT_FALSE(entries_of(kStamp, std::span(pack).last(pack.size() - 4096)));
  std::mt19937_64 random(11);
  for (int round = 0; round < 500; ++round) {
    auto changed = pack;
    const size_t at = pack.size() - 1 - random() % (2 * flash::kPageBytes);
    changed[at] ^= static_cast<std::byte>(1u << random() % 8);
    EXPECT_FALSE(entries_of(kStamp, changed)) << at;
  }
}

TEST(PackFormat, NotesThereAndBack) {
  const std::vector<uint32_t> pages = {2, 19, 4'000'000};
  const auto bytes = encode_notes(77, pages);
  EXPECT_EQ(*decode_notes(77, bytes), pages);
  EXPECT_TRUE(decode_notes(77, encode_notes(77, {}))->empty());
  EXPECT_EQ(decode_notes(78, bytes).status().code(), Code::corrupt);
  for (size_t cut = 0; cut < bytes.size(); ++cut)
    EXPECT_FALSE(decode_notes(77, std::span(bytes).first(cut)));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto changed = bytes;
    changed[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    EXPECT_FALSE(decode_notes(77, changed));
  }
}

}  // namespace
}  // namespace tarn::object
