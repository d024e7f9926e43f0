#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/block/checksum.h"
#include "common/fabric/scatter.h"
#include "tests/unit/fabric/fabric_pair.h"

namespace tarn::fabric {

inline Bytes bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

inline std::string text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Collects the ends of sends.
struct Sends {
  std::map<Code, int> ends;
  int total() const {
    int sum = 0;
    for (const auto& [code, count] : ends)
      sum += count;
    return sum;
  }
  SendDone done() {
    return [this](Code code) { ++ends[code]; };
  }
};

// A pair of ports of one kind; b notes what arrives and receives into x_into.
class Conformance : public testing::TestWithParam<FabricPairFactory> {
 protected:
  void SetUp() override {
    x_pair = GetParam().make();
    x_pair->b().set_handler([this](uint64_t link, Bytes header, Payload& payload) {
      x_links.push_back(link);
      x_headers.push_back(text_of(header));
      x_sizes.push_back(payload.size());
      // A late message of an earlier exchange has another size.
      if (x_into.empty() || total_bytes(x_into) != payload.size()) return;
      payload.receive(x_into, [this](Code code, uint32_t crc) {
        x_received.push_back(code);
        x_crc32c = crc;
      });
    });
    x_b_to_a = x_pair->connect_b({.peer_address = {}, .link = 77, .on_lost = [this](Status why) {
                                    ++x_b_lost;
                                    EXPECT_FALSE(why.is_ok());
                                  }});
    x_a_to_b = x_pair->connect_a({.peer_address = {}, .link = 88, .on_lost = [this](Status why) {
                                    ++x_a_lost;
                                    EXPECT_EQ(why.code(), Code::unavailable) << why.to_string();
                                  }});
  }

  void TearDown() override {
    x_a_to_b.reset();
    x_b_to_a.reset();
    EXPECT_TRUE(x_pair->until(
        [&] { return x_pair->a().idle() && (!x_pair->has_b() || x_pair->b().idle()); }));
  }

  // Lets what is on its way come to its end.
  void settle() {
    const Instant end = system_clock().now() + Millis(15);
    ASSERT_TRUE(x_pair->until([&] { return system_clock().now() > end; }));
  }

  // Sends `payload` from a to b in `cuts` equal parts and receives it in other parts.
  void exchange(size_t bytes, size_t cuts_out, size_t cuts_in) {
    const std::vector<std::byte> out = pattern(bytes, bytes);
    std::vector<std::byte> in(bytes);
    std::vector<Bytes> parts;
    const size_t out_step = bytes / cuts_out;
    for (size_t i = 0; i < cuts_out; ++i) {
      const size_t end = i + 1 == cuts_out ? bytes : (i + 1) * out_step;
      parts.push_back(Bytes(out).subspan(i * out_step, end - i * out_step));
    }
    x_into.clear();
    const size_t in_step = bytes / cuts_in;
    for (size_t i = 0; i < cuts_in; ++i) {
      const size_t end = i + 1 == cuts_in ? bytes : (i + 1) * in_step;
      x_into.push_back(MutableBytes(in).subspan(i * in_step, end - i * in_step));
    }
    x_received.clear();
    Sends sends;
    const Status sent = x_a_to_b->send(bytes_of("take"), parts, sends.done());
    ASSERT_TRUE(sent.is_ok()) << sent.to_string();
    ASSERT_TRUE(x_pair->until([&] { return x_received.size() == 1 && sends.total() == 1; }))
        << x_received.size() << " received, " << sends.ends[Code::ok] << " of " << sends.total()
        << " sends well, lost " << x_a_lost;
    EXPECT_EQ(sends.ends[Code::ok], 1);
    EXPECT_EQ(x_received[0], Code::ok);
    EXPECT_EQ(x_crc32c, block::crc32c(0, out.data(), out.size()));
    EXPECT_TRUE(in == out) << bytes << " bytes differ";
  }

  std::unique_ptr<FabricPair> x_pair;
  std::unique_ptr<Connection> x_a_to_b;
  std::unique_ptr<Connection> x_b_to_a;
  std::vector<uint64_t> x_links;
  std::vector<std::string> x_headers;
  std::vector<uint64_t> x_sizes;
  std::vector<MutableBytes> x_into;
  std::vector<Code> x_received;
  uint32_t x_crc32c = 0;
  int x_a_lost = 0;
  int x_b_lost = 0;
};

// The kinds whose connections tell here when their peer has gone. Over shared memory UCX watches
// the peer's process, and both ports are in this one: the slow tests have processes.
inline std::vector<FabricPairFactory> telling_pairs() {
  return {{"loop", make_loop_pair},
          {"ucx", make_ucx_pair},
          {"grpc", make_grpc_pair},
          {"local", make_local_pair}};
}

inline std::vector<FabricPairFactory> all_pairs() {
  auto pairs = telling_pairs();
  pairs.push_back({"ucx_shm", make_ucx_shm_pair});
  return pairs;
}

}  // namespace tarn::fabric
