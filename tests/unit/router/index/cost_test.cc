#include "router/index/cost.h"

#include <gtest/gtest.h>

namespace tarn::index {
namespace {

MatchRun run_of(ServerId server, uint32_t count, Tier tier) {
  MatchRun run;
  run.count = count;
  run.block_bytes = 2'000'000;
  run.tier = tier;
  run.holders.ids[run.holders.count++] = server;
  return run;
}

TEST(Cost, rises_with_bytes_shards_and_depth) {
  EXPECT_EQ(estimated_us(run_of({1}, 1, Tier::dram), 1), 200u + 1000u);
  EXPECT_EQ(estimated_us(run_of({1}, 3, Tier::dram), 1), 200u + 3000u);
  EXPECT_EQ(estimated_us(run_of({1}, 3, Tier::dram), 8), 200u + 24'000u);
  EXPECT_LT(estimated_us(run_of({1}, 3, Tier::dram), 1),
            estimated_us(run_of({1}, 3, Tier::flash), 1));
  EXPECT_LT(estimated_us(run_of({1}, 3, Tier::flash), 1),
            estimated_us(run_of({1}, 3, Tier::object), 1));
}

TEST(Cost, servers_send_at_the_same_time) {
  MatchAnswer answer;
  EXPECT_EQ(estimated_us(answer, 1), 0u);
  answer.runs = {run_of({1}, 1, Tier::dram), run_of({2}, 2, Tier::dram),
                 run_of({1}, 2, Tier::dram)};
  EXPECT_EQ(estimated_us(answer, 1), 200u + 3000u);
}

}  // namespace
}  // namespace tarn::index
