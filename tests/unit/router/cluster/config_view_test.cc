#include "router/cluster/config_view.h"

#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace tarn::cluster {
namespace {

ring::ClusterConfig config_of(uint64_t epoch) {
  ring::ClusterConfig config;
  config.epoch = {epoch};
  config.cluster = "test";
  return config;
}

TEST(ConfigView, is_empty_until_the_first_config) {
  ConfigView view;
  EXPECT_EQ(view.current(), nullptr);
  EXPECT_EQ(view.current_ring(), nullptr);
  ASSERT_TRUE(view.publish(config_of(1)).is_ok());
  ASSERT_NE(view.current(), nullptr);
  EXPECT_EQ(view.current()->epoch, Epoch{1});
  EXPECT_EQ(view.current_ring()->epoch(), Epoch{1});
}

TEST(ConfigView, tells_each_subscriber_every_newer_epoch_once) {
  ConfigView view;
  ASSERT_TRUE(view.publish(config_of(3)).is_ok());
  std::vector<uint64_t> seen;
  {
    const auto subscription =
        view.subscribe([&](const ConfigSnapshot& config) { seen.push_back(config->epoch.value); });
    for (const uint64_t epoch : {4, 4, 2, 7})
      ASSERT_TRUE(view.publish(config_of(epoch)).is_ok());
  }
  ASSERT_TRUE(view.publish(config_of(8)).is_ok());
  EXPECT_EQ(seen, (std::vector<uint64_t>{3, 4, 7}));
  EXPECT_EQ(view.current()->epoch, Epoch{8});
}

TEST(ConfigView, keeps_the_old_config_when_the_new_one_is_refused) {
  ConfigView view;
  ASSERT_TRUE(view.publish(config_of(1)).is_ok());
  ring::ClusterConfig bad = config_of(2);
  bad.cluster.clear();
  EXPECT_EQ(view.publish(bad).code(), Code::invalid_argument);
  EXPECT_EQ(view.current()->epoch, Epoch{1});
}

TEST(ConfigView, gives_whole_configs_while_another_thread_publishes) {
  ConfigView view;
  std::thread publisher([&] {
    for (uint64_t epoch = 1; epoch <= 200; ++epoch)
      ASSERT_TRUE(view.publish(config_of(epoch)).is_ok());
  });
  uint64_t last = 0;
  while (last < 200) {
    const ConfigSnapshot config = view.current();
    if (!config) continue;
    EXPECT_GE(config->epoch.value, last);
    last = config->epoch.value;
  }
  publisher.join();
}

}  // namespace
}  // namespace tarn::cluster
