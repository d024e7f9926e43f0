#include "common/wire/cursor.h"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <random>
#include <string>

#include "common/wire/bounded_list.h"
#include "common/wire/message.h"
#include "common/wire/refusal.h"

namespace tarn::wire {
namespace {

TEST(Cursor, gives_back_what_was_written_to_the_last_byte) {
  std::array<std::byte, 18> memory{};
  Writer out{MutableBytes(memory)};
  out.put(uint8_t{0xfe});
  out.put(uint16_t{0x0102});
  out.put(uint32_t{0x01020304});
  out.put(uint64_t{0x0102030405060708});
  out.put_bytes("abc", 3);
  EXPECT_EQ(out.written(), 18u);
  Reader in{Bytes(memory)};
  EXPECT_EQ(in.get<uint8_t>(), 0xfe);
  EXPECT_EQ(in.get<uint16_t>(), 0x0102);
  EXPECT_EQ(in.get<uint32_t>(), 0x01020304u);
  EXPECT_EQ(in.get<uint64_t>(), 0x0102030405060708u);
  std::string text(3, ' ');
  in.get_bytes(text.data(), 3);
  EXPECT_EQ(text, "abc");
  EXPECT_TRUE(in.ok());
  EXPECT_EQ(in.left(), 0u);
}

// A decoder asks once, at its end: nothing read after the first miss may look like a value.
TEST(Reader, gives_zeros_after_the_first_read_past_the_end) {
  const std::array<std::byte, 5> memory{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4},
                                        std::byte{5}};
  Reader in{Bytes(memory)};
  EXPECT_EQ(in.get<uint32_t>(), 0x04030201u);
  EXPECT_EQ(in.get<uint16_t>(), 0u) << "one byte is left";
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.get<uint8_t>(), 0u) << "though a byte is there";
  std::string kept = "kept";
  in.get_bytes(kept.data(), 1);
  EXPECT_EQ(kept, "kept");
  EXPECT_FALSE(in.ok());
}

TEST(Reader, takes_no_bytes_from_nothing) {
  Reader in{Bytes()};
  in.get_bytes(nullptr, 0);
  EXPECT_TRUE(in.ok());
  EXPECT_EQ(in.get<uint8_t>(), 0u);
  EXPECT_FALSE(in.ok());
}

TEST(WriterDeathTest, never_writes_past_its_space) {
  std::array<std::byte, 4> memory{};
  Writer out{MutableBytes(memory)};
  out.put(uint16_t{1});
  EXPECT_DEATH(out.put(uint32_t{1}), "check failed");
  EXPECT_DEATH(out.put_bytes("abc", 3), "check failed");
  out.put(uint16_t{2});
  out.put_bytes(nullptr, 0);
  EXPECT_DEATH(out.put(uint8_t{1}), "check failed");
}

TEST(BoundedList, agrees_with_a_deque_of_limited_size) {
  std::mt19937 random(4);
  BoundedList<int, 5> list;
  std::deque<int> model;
  for (int step = 0; step < 2000; ++step) {
    if (random() % 8 == 0) {
      list.clear();
      model.clear();
    } else {
      const bool fits = model.size() < 5;
      EXPECT_EQ(list.push_back(step), fits);
      if (fits) model.push_back(step);
    }
    ASSERT_TRUE(std::equal(list.begin(), list.end(), model.begin(), model.end())) << step;
    EXPECT_EQ(list.size(), model.size());
    EXPECT_EQ(list.empty(), model.empty());
    EXPECT_EQ(list.is_full(), model.size() == 5);
    if (!model.empty()) {
      EXPECT_EQ(list[model.size() - 1], model.back());
    }
  }
}

TEST(BoundedList, compares_by_its_values_and_not_by_what_it_held_before) {
  BoundedList<int, 3> a, b;
  a.push_back(1);
  a.push_back(2);
  a.clear();
  a.push_back(7);
  b.push_back(7);
  EXPECT_EQ(a, b);
  b.push_back(8);
  EXPECT_NE(a, b);
}

TEST(Text, at_its_limit_is_whole_and_bytes_of_no_character_are_cut_anywhere) {
  for (const size_t size : {0ul, 1ul, kTextBytesMax - 1, kTextBytesMax})
    EXPECT_EQ(make_text(std::string(size, '\xbf')).size(), size);
  EXPECT_EQ(make_text(std::string(kTextBytesMax + 1, '\xbf')).size(), kTextBytesMax);
  EXPECT_EQ(make_text(std::string(1 << 20, 'x')).size(), kTextBytesMax);
}

TEST(RefusalCounts, count_each_cause_and_sum_all_but_none) {
  RefusalCounts counts;
  for (int i = 0; i < kRefusalCount; ++i) {
    for (int times = 0; times <= i; ++times)
      counts.add(static_cast<Refusal>(i));
  }
  for (int i = 0; i < kRefusalCount; ++i)
    EXPECT_EQ(counts.of(static_cast<Refusal>(i)), static_cast<uint64_t>(i + 1));
  EXPECT_EQ(counts.total(), uint64_t{kRefusalCount * (kRefusalCount + 1) / 2 - 1});
}

TEST(Refusal, is_answerable_only_behind_the_proof_of_the_sender) {
  const std::string_view silent[] = {
      "too_short", "too_long",           "magic", "version", "type",  "direction", "flags",
      "length",    "unknown_connection", "lane",  "mac",     "replay"};
  for (int i = 1; i < kRefusalCount; ++i) {
    const auto refusal = static_cast<Refusal>(i);
    EXPECT_EQ(refusal < Refusal::truncated, std::find(std::begin(silent), std::end(silent),
                                                      refusal_name(refusal)) != std::end(silent))
        << refusal_name(refusal);
  }
}

}  // namespace
}  // namespace tarn::wire
