#include "common/base/processors.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

namespace tarn {
namespace {

TEST(Processors, KeepsAThreadOnTheProcessorItNames) {
  std::thread([] {
    const int here = sched_getcpu();
    ASSERT_GE(here, 0);
    EXPECT_TRUE(pin_thread(static_cast<uint32_t>(here)));
    cpu_set_t allowed;
    ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    EXPECT_EQ(CPU_COUNT(&allowed), 1);
    EXPECT_TRUE(CPU_ISSET(static_cast<size_t>(here), &allowed));
    EXPECT_EQ(allowed_processors(), std::vector<uint32_t>{static_cast<uint32_t>(here)});
  }).join();
}

TEST(Processors, AProcessorThatIsNotThereChangesNothing) {
  std::thread([] {
    cpu_set_t before;
    ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
    for (const uint32_t cpu : {CPU_SETSIZE - 1u, CPU_SETSIZE + 0u, UINT32_MAX})
      EXPECT_FALSE(pin_thread(cpu)) << cpu;
    cpu_set_t after;
    ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
    EXPECT_TRUE(CPU_EQUAL(&before, &after));
  }).join();
}

}  // namespace
}  // namespace tarn
