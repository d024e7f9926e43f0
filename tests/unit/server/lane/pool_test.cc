// Objects that are used again and again.
#include "server/lane/pool.h"

#include <gtest/gtest.h>

namespace tarn::lane {
namespace {

struct Item {
  bool in_use = false;
  int id = 0;
};

// Who comes first has what there is for one turn.
TEST(Pool, EachOneInUseComesFirstInItsTurn) {
  Pool<Item> pool(5);
  std::vector<Item*> items;
  for (int id = 0; id < 5; ++id) {
    items.push_back(pool.take());
    items.back()->id = id;
  }
  EXPECT_EQ(pool.take(), nullptr);
  pool.give_back(*items[1]);
  pool.give_back(*items[4]);
  std::vector<int> firsts;
  for (int i = 0; i < 7; ++i) {
    std::vector<int> seen;
    pool.for_each_in_turn([&](const Item& item) { seen.push_back(item.id); });
    ASSERT_EQ(seen.size(), 3u);
    firsts.push_back(seen.front());
  }
  EXPECT_EQ(firsts, (std::vector<int>{0, 2, 3, 0, 2, 3, 0}));
}

TEST(Pool, AVisitMayGiveBackTheOneThatItIsCalledFor) {
  Pool<Item> pool(3);
  for (int id = 0; id < 3; ++id)
    pool.take()->id = id;
  size_t visits = 0;
  pool.for_each_in_turn([&](Item& item) {
    ++visits;
    pool.give_back(item);
  });
  EXPECT_EQ(visits, 3u);
  EXPECT_EQ(pool.used(), 0u);
  pool.for_each_in_turn([&](Item&) { ++visits; });
  EXPECT_EQ(visits, 3u);
}

}  // namespace
}  // namespace tarn::lane
