#include "common/base/ids.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>
#include <set>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>

#include "common/base/little_endian.h"
#include "common/base/names.h"
#include "common/base/units.h"

namespace tarn {
namespace {

template <typename From, typename To>
constexpr bool kMixes = std::is_convertible_v<From, To> || std::is_assignable_v<To&, From>;

// A server's number passed for a slot's must not compile.
static_assert(!kMixes<ServerId, SlotId> && !kMixes<ServerId, Shard> && !kMixes<Shard, SlotId>);
static_assert(!kMixes<Epoch, Generation> && !kMixes<Incarnation, Epoch>);
static_assert(!kMixes<Position, Epoch> && !kMixes<TenantId, SpaceId> && !kMixes<SpaceId, TenantId>);
static_assert(!std::is_convertible_v<Epoch, uint64_t>);

TEST(StrongInt, orders_and_hashes_as_its_number) {
  EXPECT_LT(Epoch{1}, Epoch{2});
  EXPECT_EQ(Epoch{}, Epoch{0});
  std::unordered_map<ServerId, int> by_server;
  std::map<Position, int> by_position;
  for (uint32_t i = 0; i < 100; ++i) {
    by_server[ServerId{i % 10}]++;
    by_position[Position{UINT64_MAX - i}] = 1;
  }
  EXPECT_EQ(by_server.size(), 10u);
  EXPECT_EQ(by_position.begin()->first, Position{UINT64_MAX - 99});
}

TEST(Id128, orders_as_its_bytes_do_and_is_zero_only_when_all_are) {
  EXPECT_TRUE(TenantId{}.is_zero());
  for (size_t i = 0; i < 16; ++i) {
    TenantId one;
    one.bytes[i] = 1;
    EXPECT_FALSE(one.is_zero()) << i;
    TenantId later = one;
    later.bytes[i] = 0x80;
    EXPECT_LT(one, later) << "bytes are unsigned";
    if (i > 0) {
      EXPECT_LT(one, (TenantId{{1}}));
    }
  }
}

TEST(Id128, spreads_in_a_hash_table) {
  std::unordered_set<SpaceId> ids;
  std::set<size_t> hashes;
  std::mt19937_64 random(3);
  for (int i = 0; i < 1000; ++i) {
    SpaceId id;
    for (uint8_t& byte : id.bytes)
      byte = static_cast<uint8_t>(random());
    ids.insert(id);
    hashes.insert(std::hash<SpaceId>()(id));
  }
  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_EQ(hashes.size(), 1000u);
}

TEST(Hex, of_an_id_is_its_32_digits) {
  TenantId id;
  for (size_t i = 0; i < 16; ++i)
    id.bytes[i] = static_cast<uint8_t>(0xf0 + i);
  EXPECT_EQ(to_hex(id), "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
  EXPECT_EQ(to_hex(TenantId{}), std::string(32, '0'));
}

TEST(Hex, gives_back_any_bytes_in_either_case) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte)
    all += static_cast<char>(byte);
  std::string upper = to_hex(all);
  for (char& c : upper)
    c = static_cast<char>(std::toupper(c));
  EXPECT_EQ(from_hex(to_hex(all)), all);
  EXPECT_EQ(from_hex(upper), all);
  EXPECT_EQ(to_hex(""), "");
}

TEST(Hex, takes_no_other_digit_at_any_place) {
  for (int byte = 0; byte < 256; ++byte) {
    const bool is_digit = std::isxdigit(byte) != 0;
    for (const size_t place : {0u, 1u, 3u}) {
      std::string text = "abcd";
      text[place] = static_cast<char>(byte);
      EXPECT_EQ(from_hex(text).empty(), !is_digit) << byte << " at " << place;
    }
  }
  EXPECT_EQ(from_hex("0"), "");
  EXPECT_EQ(from_hex("0x00"), "");
}

template <typename Int>
void expect_round_trips(std::mt19937_64& random) {
  std::array<uint8_t, sizeof(Int) + 8> memory{};
  for (int i = 0; i < 200; ++i) {
    const auto value = static_cast<Int>(random());
    const size_t offset = random() % 8;
    store_le(memory.data() + offset, value);
    EXPECT_EQ(load_le<Int>(memory.data() + offset), value);
    std::string text = "x";
    append_le(text, value);
    ASSERT_EQ(text.size(), 1 + sizeof(Int));
    EXPECT_EQ(load_le<Int>(text.data() + 1), value);
    EXPECT_EQ(static_cast<uint8_t>(text[1]), static_cast<uint8_t>(value)) << "least byte first";
  }
}

TEST(LittleEndian, gives_back_every_width_at_any_alignment) {
  std::mt19937_64 random(5);
  expect_round_trips<uint8_t>(random);
  expect_round_trips<uint16_t>(random);
  expect_round_trips<uint32_t>(random);
  expect_round_trips<uint64_t>(random);
  expect_round_trips<int8_t>(random);
  expect_round_trips<int32_t>(random);
  expect_round_trips<int64_t>(random);
}

TEST(LittleEndian, is_the_order_of_bytes_in_our_formats) {
  std::string bytes;
  append_le(bytes, uint8_t{0xfe});
  append_le(bytes, uint16_t{0x0102});
  append_le(bytes, uint32_t{0x01020304});
  append_le(bytes, uint64_t{0x0102030405060708});
  append_le(bytes, int64_t{-2});
  EXPECT_EQ(to_hex(bytes),
            "fe"
            "0201"
            "04030201"
            "0807060504030201"
            "feffffffffffffff");
}

TEST(SnakeCase, is_lower_case_that_begins_with_a_letter) {
  for (const char* name : {"a", "dram_bytes", "p99_us", "a_", "a__b", "z9"})
    EXPECT_TRUE(is_snake_case(name)) << name;
  for (const char* name : {"", "_a", "9a", "A", "aB", "a-b", "a b", "a.b", "\xc3\xa4", "a\n"})
    EXPECT_FALSE(is_snake_case(name)) << name;
}

TEST(Units, round_up_gives_the_next_multiple_and_never_less) {
  for (const uint64_t step : {1ull, 3ull, 4096ull, 2ull << 20}) {
    for (const uint64_t value : {0ull, 1ull, 4095ull, 4096ull, 4097ull, 1ull << 40}) {
      const uint64_t rounded = round_up(value, step);
      EXPECT_EQ(rounded % step, 0u);
      EXPECT_GE(rounded, value);
      EXPECT_LT(rounded - value, step);
    }
  }
}

}  // namespace
}  // namespace tarn
