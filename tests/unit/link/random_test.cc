#include <gtest/gtest.h>

#include <random>

#include "tests/fuzz/link_input.h"

namespace tarn::fabric {
namespace {

TEST(LinkRandom, EachOperationEndsOnceWhateverTheServerAnswers) {
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    std::vector<uint8_t> input(200 + random() % 800);
    for (uint8_t& byte : input)
      byte = static_cast<uint8_t>(random());
    LinkInput(input).run();
  }
}

}  // namespace
}  // namespace tarn::fabric
