#include "router/index/print_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace tarn::index {
namespace {

class Prints : public testing::Test {
 protected:
  void insert(Fingerprint print) {
    const RowRef ref{static_cast<uint32_t>(prints.size())};
    prints.push_back(print);
    table.insert(print, ref);
    places[print] = ref;
  }
  void erase(Fingerprint print) {
    table.erase(print, places.at(print));
    places.erase(print);
  }
  std::optional<RowRef> find(Fingerprint print) const {
    return table.find(print, [&](RowRef ref) { return prints[ref.value] == print; });
  }
  void expect_all_found() const {
    for (const auto& [print, ref] : places) {
      const auto found = find(print);
      ASSERT_TRUE(found) << print;
      ASSERT_EQ(found->value, ref.value) << print;
    }
  }

  std::vector<Fingerprint> prints;
  std::map<Fingerprint, RowRef> places;
  Arena arena;
  PrintTable table{arena};
};

TEST_F(Prints, an_empty_table_has_nothing_and_asks_for_no_memory) {
  EXPECT_FALSE(find(1));
  EXPECT_FALSE(table.guess(1));
  table.fetch(1);
  EXPECT_EQ(arena.memory_bytes(), 0u);
}

TEST_F(Prints, what_goes_in_is_found_until_it_goes) {
  std::mt19937_64 random(5);
  for (int step = 0; step < 60'000; ++step) {
    if (places.empty() || random() % 5 < 3) {
      const Fingerprint print = random() | 1;
      if (!places.contains(print)) insert(print);
    } else {
      const auto at = places.lower_bound(random());
      const Fingerprint print = at == places.end() ? places.begin()->first : at->first;
      erase(print);
      ASSERT_FALSE(find(print));
    }
  }
  expect_all_found();
}

// All in one set, all at one home, all with one check: as bad as prints can be. They differ in what
// the table does not keep.
TEST_F(Prints, crowds_at_one_place_are_found_all_the_same) {
  constexpr Fingerprint kPlace = 0x1234'0000'0000'0042;
  for (Fingerprint i = 0; i < 400; ++i)
    insert(kPlace + (i << 8));
  expect_all_found();
  EXPECT_FALSE(find(kPlace + (Fingerprint{400} << 8)));
  for (Fingerprint i = 0; i < 400; i += 2)
    erase(kPlace + (i << 8));
  expect_all_found();
  for (Fingerprint i = 0; i < 400; i += 2)
    EXPECT_FALSE(find(kPlace + (i << 8))) << i;
  for (Fingerprint i = 0; i < 400; i += 2)
    insert(kPlace + (i << 8));
  expect_all_found();
}

TEST_F(Prints, a_check_of_zero_is_none_of_a_free_slot) {
  insert(0x7700'0000'0000'0001);
  EXPECT_TRUE(find(0x7700'0000'0000'0001));
  EXPECT_FALSE(find(0x7700'0000'0000'0002));
  erase(0x7700'0000'0000'0001);
  EXPECT_FALSE(find(0x7700'0000'0000'0001));
}

TEST_F(Prints, the_guess_is_mostly_right) {
  std::mt19937_64 random(6);
  for (int i = 0; i < 20'000; ++i)
    insert(random() | 1);
  int right = 0;
  for (const auto& [print, ref] : places)
    right += table.guess(print).value_or(RowRef{UINT32_MAX}).value == ref.value ? 1 : 0;
  EXPECT_GT(right, 16'000);
}

TEST_F(Prints, a_million_take_less_than_24_bytes_each_with_what_growing_leaves) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 1'000'000; ++i) {
    const RowRef ref{static_cast<uint32_t>(prints.size())};
    prints.push_back(random() | 1);
    table.insert(prints.back(), ref);
  }
  EXPECT_LT(arena.memory_bytes(), 24'000'000u);
  EXPECT_GT(arena.memory_bytes(), 10'000'000u);
}

}  // namespace
}  // namespace tarn::index
