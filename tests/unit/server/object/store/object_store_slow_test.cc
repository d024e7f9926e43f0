#include "server/object/store/object_store.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "tests/unit/logged_text.h"
#include "tests/unit/server/object/blocks.h"
#include "tests/unit/server/object/s3_server.h"

namespace tarn::object {
namespace {

constexpr uint64_t kPackBytes = 1 * kMiB;

class ObjectStoreTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { s_server = std::make_unique<S3Server>(); }
  static void TearDownTestSuite() { s_server.reset(); }
  void SetUp() override {
    x_bucket = std::string("bucket-") + std::to_string(++s_buckets);
    s_server->make_bucket(x_bucket);
  }
  void TearDown() override {
    x_store.reset();
    if (s_server != nullptr) s_server->fault(R"({"clear": true})");
  }

  ObjectStoreOptions options() {
    ObjectStoreOptions made;
    made.s3 = s_server->options("s3://" + x_bucket + "/tarn");
    made.server = "s1";
    made.bytes_max = 16 * kPackBytes;
    made.pack_bytes = kPackBytes;
    made.seal_after = std::chrono::hours(1);
    made.tick_every = std::chrono::milliseconds(10);
    made.read_within = std::chrono::milliseconds(1500);
    made.on_kept = [this](auto headers) {
      x_kept += headers.size();
      if (const auto also = std::exchange(x_also_on_kept, nullptr)) also();
    };
    made.on_dropped = [this](auto headers) { x_dropped += headers.size(); };
    return made;
  }
  void open(ObjectStoreOptions made) { x_store = ObjectStore::open(std::move(made)).value(); }
  void open_and_know() {
    open(options());
    ASSERT_TRUE(until([this] { return x_store->stats().is_known; }));
  }

  template <typename Condition>
  static bool until(const Condition& condition, Nanos within = std::chrono::seconds(20)) {
    const Instant end = system_clock().now() + within;
    while (system_clock().now() < end) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }

  // Takes it as soon as it is taken; what the last refusal was where it is not.
  Status put(const TestBlock& block) {
    Status taken;
    (void)until([&] {
      taken = x_store->put(block.entry, block.payload);
      return taken.code() != Code::overloaded;
    });
    return taken;
  }
  // Until all of them can be read.
  void put_all(uint64_t from, uint64_t to) {
    for (uint64_t number = from; number <= to; ++number)
      ASSERT_EQ(put(TestBlock(number)), Status::ok()) << number;
    ASSERT_TRUE(x_store->finish(std::chrono::seconds(20)));
  }

  struct Got {
    explicit Got(const TestBlock& block) : bytes(round_up(block.payload.size(), 4096)) {}
    std::vector<std::byte> bytes;
    std::promise<Result<flash::Entry>> entry;
  };
  std::shared_ptr<Got> begin_read(const TestBlock& block) {
    const auto place = x_store->hit(block.key());
    if (!place) return nullptr;
    const auto got = std::make_shared<Got>(block);
    flash::DriveRead read;
    read.key = block.key();
    read.place = *place;
    read.into = got->bytes;
    read.done = [got](Result<flash::Entry> entry, bool is_free) {
      EXPECT_TRUE(is_free);
      got->entry.set_value(std::move(entry));
    };
    const Status taken = x_store->read(std::move(read));
    if (!taken.is_ok()) got->entry.set_value(taken);
    return got;
  }
  static Code end_read(const TestBlock& block, const std::shared_ptr<Got>& got) {
    if (got == nullptr) return Code::not_found;
    const auto entry = got->entry.get_future().get();
    if (!entry) return entry.error().code();
    EXPECT_EQ(entry->header, block.entry.header);
    EXPECT_EQ(std::memcmp(got->bytes.data(), block.payload.data(), block.payload.size()), 0);
    return Code::ok;
  }
  Code read(uint64_t number) { return read(TestBlock(number)); }
  Code read(const TestBlock& block) { return end_read(block, begin_read(block)); }

  // What lies in the bucket, as another client sees it.
  std::vector<S3Object> objects(S3Client& client) {
    std::promise<Result<std::vector<S3Object>>> answer;
    client.list("", system_clock().now() + std::chrono::seconds(20),
                [&](Result<std::vector<S3Object>> listed) { answer.set_value(std::move(listed)); });
    return answer.get_future().get().value();
  }
  std::unique_ptr<S3Client> stranger() { return S3Client::open(options().s3).value(); }

  static std::unique_ptr<S3Server> s_server;
  static int s_buckets;
  std::string x_bucket;
  std::function<void()> x_also_on_kept;
  std::atomic<uint64_t> x_kept{0};
  std::atomic<uint64_t> x_dropped{0};
  std::map<uint64_t, uint64_t> x_sizes;  // by block
  std::unique_ptr<ObjectStore> x_store;
};
std::unique_ptr<S3Server> ObjectStoreTest::s_server;
int ObjectStoreTest::s_buckets = 0;

TEST_F(ObjectStoreTest, BlocksComeBackAlsoAfterARestart) {
  open_and_know();
  put_all(1, 40);
  const TestBlock odd(900, 70'001);
  ASSERT_EQ(put(odd), Status::ok());
  // What is on its way is found already.
  EXPECT_EQ(read(odd), Code::ok);
  EXPECT_EQ(x_store->stats().blocks, 40u);
  ASSERT_TRUE(x_store->finish(std::chrono::seconds(20)));
  EXPECT_TRUE(until([this] { return x_kept == 41u; }));
  EXPECT_EQ(put(TestBlock(1)).code(), Code::exists);
  for (uint64_t number = 1; number <= 40; ++number)
    EXPECT_EQ(read(number), Code::ok) << number;
  EXPECT_EQ(read(odd), Code::ok);
  EXPECT_EQ(read(41), Code::not_found);
  x_store.reset();
  open_and_know();
  EXPECT_EQ(x_store->stats().blocks, 41u);
  for (uint64_t number = 1; number <= 40; ++number)
    EXPECT_EQ(read(number), Code::ok) << number;
  EXPECT_EQ(read(odd), Code::ok);
  // Another server's folder is its own.
  ObjectStoreOptions other = options();
  other.server = "s2";
  open(std::move(other));
  ASSERT_TRUE(until([this] { return x_store->stats().is_known; }));
  EXPECT_EQ(x_store->stats().blocks, 0u);
}

TEST_F(ObjectStoreTest, ARunComesByOneRequest) {
  open_and_know();
  put_all(1, 8);
  // Its thread is kept until all are asked for.
  std::promise<void> begun;
  std::promise<void> asked;
  x_also_on_kept = [&] {
    begun.set_value();
    asked.get_future().wait();
  };
  ASSERT_EQ(put(TestBlock(9)), Status::ok());
  x_store->flush();
  begun.get_future().wait();
  std::vector<std::shared_ptr<Got>> run;
  for (uint64_t number = 8; number >= 1; --number)
    run.push_back(begin_read(TestBlock(number)));
  asked.set_value();
  for (size_t i = 0; i < run.size(); ++i)
    EXPECT_EQ(end_read(TestBlock(8 - i), run[i]), Code::ok);
  EXPECT_EQ(x_store->stats().reads.requests, 1u);
  EXPECT_EQ(x_store->stats().reads.blocks, 8u);
}

TEST_F(ObjectStoreTest, WhatIsRemovedStaysAway) {
  open_and_know();
  put_all(1, 10);
  EXPECT_TRUE(x_store->remove(TestBlock(3).key()));
  EXPECT_FALSE(x_store->remove(TestBlock(3).key()));
  EXPECT_EQ(read(3), Code::not_found);
  EXPECT_TRUE(until([this] { return x_dropped == 1u; }));
  // On its way.
  ASSERT_EQ(put(TestBlock(11)), Status::ok());
  ASSERT_EQ(put(TestBlock(12)), Status::ok());
  EXPECT_TRUE(x_store->remove(TestBlock(11).key()));
  EXPECT_EQ(read(11), Code::not_found);
  ASSERT_TRUE(x_store->finish(std::chrono::seconds(20)));
  EXPECT_EQ(read(11), Code::not_found);
  const auto seen = stranger();
  ASSERT_TRUE(until([&] {
    return std::ranges::count_if(objects(*seen), [](const S3Object& object) {
             return object.key.ends_with(".gone");
           }) == 2;
  }));
  x_store.reset();
  open_and_know();
  EXPECT_EQ(x_store->stats().blocks, 10u);
  EXPECT_EQ(read(3), Code::not_found);
  EXPECT_EQ(read(11), Code::not_found);
  EXPECT_EQ(read(4), Code::ok);
}

TEST_F(ObjectStoreTest, WhatIsRemovedBeforeItWasFoundStaysAway) {
  open_and_know();
  put_all(1, 4);
  x_store.reset();
  s_server->fault(R"({"delay_s": 0.2, "method": "GET", "times": 2})");
  open(options());
  ASSERT_FALSE(x_store->stats().is_known);
  EXPECT_FALSE(x_store->remove(TestBlock(2).key()));
  ASSERT_TRUE(until([this] { return x_store->stats().is_known; }));
  EXPECT_EQ(read(2), Code::not_found);
  EXPECT_EQ(read(3), Code::ok);
  ASSERT_TRUE(until([this] { return x_store->stats().notes_waiting == 0; }));
  x_store.reset();
  open_and_know();
  EXPECT_EQ(x_store->stats().blocks, 3u);
}

TEST_F(ObjectStoreTest, AFloorRemovesWhatWasPutBefore) {
  open_and_know();
  put_all(1, 5);
  const TestBlock others(100, 4096, 2);
  ASSERT_EQ(put(others), Status::ok());
  const TestBlock on_its_way(6);
  ASSERT_EQ(put(on_its_way), Status::ok());
  x_store->remove_all(TestBlock(1).key().tenant, {}, Epoch{6});
  EXPECT_EQ(read(on_its_way), Code::not_found);
  ASSERT_TRUE(x_store->finish(std::chrono::seconds(20)));
  for (uint64_t number = 1; number <= 6; ++number)
    EXPECT_EQ(read(number), Code::not_found) << number;
  EXPECT_EQ(read(others), Code::ok);
  x_store.reset();
  ObjectStoreOptions made = options();
  made.is_wanted = [](const flash::Entry& entry) { return entry.header.key.tenant.bytes[0] != 1; };
  open(std::move(made));
  ASSERT_TRUE(until([this] { return x_store->stats().is_known; }));
  EXPECT_EQ(x_store->stats().blocks, 1u);
}

TEST_F(ObjectStoreTest, ItKeepsToItsBytes) {
  open_and_know();
  for (uint64_t number = 1; number <= 500; ++number) {
    ASSERT_EQ(put(TestBlock(number)), Status::ok()) << number;
    ASSERT_LE(x_store->stats().bytes, 16 * kPackBytes);
  }
  EXPECT_GT(x_dropped, 0u);
  const auto seen = stranger();
  uint64_t bytes = 0;
  for (const S3Object& object : objects(*seen))
    bytes += object.bytes;
  EXPECT_LE(bytes, 16 * kPackBytes);
  EXPECT_GT(bytes, 8 * kPackBytes);
}

TEST_F(ObjectStoreTest, APackWithLittleInItGoes) {
  open_and_know();
  put_all(1, 10);
  for (uint64_t number = 1; number <= 8; ++number)
    EXPECT_TRUE(x_store->remove(TestBlock(number).key()));
  const auto seen = stranger();
  ASSERT_TRUE(until([&] { return objects(*seen).empty(); }));
  // Those that were left, and those that were removed as far as they could still be read.
  EXPECT_TRUE(until([this] { return x_dropped >= 2u; }));
  EXPECT_EQ(x_store->stats().blocks, 0u);
  EXPECT_EQ(read(9), Code::not_found);
}

TEST_F(ObjectStoreTest, WhatChangedThereIsAMiss) {
  open_and_know();
  put_all(1, 4);
  const auto other = stranger();
  const S3Object pack = objects(*other).front();
  std::vector<std::byte> bytes(pack.bytes);
  std::promise<Status> got;
  const Instant deadline = system_clock().now() + std::chrono::seconds(20);
  other->get({pack.key, 0, {bytes}, deadline, [&](Status status) { got.set_value(status); }});
  ASSERT_EQ(got.get_future().get(), Status::ok());
  bytes[2 * 4096 + 100] ^= std::byte{1};
  std::promise<Status> done;
  other->put({pack.key, bytes, nullptr, deadline, [&](Status status) { done.set_value(status); }});
  ASSERT_EQ(done.get_future().get(), Status::ok());
  EXPECT_EQ(read(1), Code::corrupt);
  EXPECT_EQ(read(1), Code::not_found);
  EXPECT_EQ(read(2), Code::ok);
  EXPECT_EQ(x_store->stats().reads.corrupt, 1u);
  // Somebody deletes it.
  std::promise<Status> removed;
  other->remove(pack.key, deadline, [&](Status status) { removed.set_value(status); });
  ASSERT_EQ(removed.get_future().get(), Status::ok());
  EXPECT_EQ(read(2), Code::not_found);
  EXPECT_EQ(x_store->stats().blocks, 0u);
}

// A miss is always right, a wrong byte never, and what was removed stays away; whatever fails.
TEST_F(ObjectStoreTest, UnderFaultsAndRestartsThereAreMissesAndNothingElse) {
  std::mt19937_64 random(20'26);
  std::set<uint64_t> removed;
  uint64_t next = 0;
  uint64_t hits = 0;
  for (int round = 0; round < 12; ++round) {
    open(options());
    EXPECT_TRUE(round % 2 == 1 || until([this] { return x_store->stats().is_known; }));
    for (int step = 0; step < 60; ++step) {
      const uint64_t number = next == 0 ? 0 : 1 + random() % next;
      const uint64_t choice = random() % 10;
      if (choice < 4) {
        const TestBlock made(++next, 1 + random() % 200'000);
        (void)x_store->put(made.entry, made.payload);
        x_sizes[next] = made.payload.size();
      } else if (choice < 8 && number > 0) {
        const Code code = read(TestBlock(number, x_sizes[number]));
        EXPECT_TRUE(code != Code::ok || !removed.contains(number)) << number;
        EXPECT_NE(code, Code::corrupt) << number;
        hits += code == Code::ok ? 1 : 0;
      } else if (choice == 8 && number > 0 && round % 3 == 0) {
        (void)x_store->remove(TestBlock(number).key());
        removed.insert(number);
      } else {
        constexpr std::array kFaults = {R"({"status": 503, "code": "SlowDown", "times": 2})",
                                        R"({"status": 500, "method": "PUT", "times": 3})",
                                        R"({"cut": true, "method": "GET", "times": 2})",
                                        R"({"status": 403, "method": "GET", "times": 1})",
                                        R"({"delay_s": 0.05, "times": 3})"};
        if (round % 4 > 0) s_server->fault(kFaults[random() % kFaults.size()]);
      }
      if (step % 20 == 0) x_store->flush();
    }
    s_server->fault(R"({"clear": true})");
    const bool may_forget = round % 3 == 2;
    // Once what lies there is known, notes of removals get there within a tick or two.
    EXPECT_TRUE(may_forget || until([this] {
                  const ObjectStoreStats stats = x_store->stats();
                  return stats.is_known && stats.is_writable && stats.notes_waiting == 0;
                }));
    (void)x_store->finish(std::chrono::seconds(5));
    EXPECT_TRUE(may_forget || until([this] { return x_store->stats().notes_waiting == 0; }));
    x_store.reset();
  }
  EXPECT_GT(hits, 25u);
}

TEST_F(ObjectStoreTest, FullItKeepsReading) {
  open_and_know();
  put_all(1, 4);
  s_server->fault(R"({"status": 507, "method": "PUT", "times": 1000})");
  ASSERT_EQ(put(TestBlock(5)), Status::ok());
  x_store->flush();
  ASSERT_TRUE(until([this] { return !x_store->stats().is_writable; }));
  EXPECT_EQ(x_store->put(TestBlock(6).entry, TestBlock(6).payload).code(), Code::unavailable);
  EXPECT_EQ(x_store->stats().writes.lost, 1u);
  EXPECT_EQ(read(4), Code::ok);
  s_server->fault(R"({"clear": true})");
  ASSERT_TRUE(until([this] { return x_store->stats().is_writable; }));
  put_all(7, 8);
  EXPECT_EQ(read(7), Code::ok);
}

TEST_F(ObjectStoreTest, WhoeverRefusesIsToldOfOnceAndNobodyWaits) {
  struct Row {
    std::string bucket;
    std::string secret;
    std::string advice;
  };
  for (const Row& row : {Row{"no-such-bucket", "test-secret", "make it"},
                         Row{x_bucket, "wrong", "secret access key"}}) {
    const LoggedText logged;
    ObjectStoreOptions made = options();
    made.s3.url.bucket = row.bucket;
    made.s3.environment = [row](const std::string& name) -> std::string {
      if (name == "AWS_ACCESS_KEY_ID") return "test-id";
      return name == "AWS_SECRET_ACCESS_KEY" ? row.secret : "";
    };
    open(std::move(made));
    ASSERT_TRUE(until([this] { return !x_store->stats().is_readable; }));
    EXPECT_TRUE(until([&] { return logged.has(row.advice); })) << logged.text();
    EXPECT_EQ(x_store->put(TestBlock(1).entry, TestBlock(1).payload).code(), Code::unavailable);
    EXPECT_FALSE(x_store->stats().is_known);
    x_store.reset();
  }
}

TEST_F(ObjectStoreTest, StoppedItCostsOneReadItsDeadlineAndThenNothing) {
  S3Server own;
  own.make_bucket(x_bucket);
  ObjectStoreOptions made = options();
  made.s3.endpoint = own.endpoint();
  made.read_within = std::chrono::milliseconds(300);
  open(std::move(made));
  ASSERT_TRUE(until([this] { return x_store->stats().is_known; }));
  put_all(1, 6);
  own.stop();
  const Instant begun = system_clock().now();
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(read(1), Code::deadline_exceeded);
  EXPECT_EQ(read(1), Code::not_found);
  EXPECT_LT(system_clock().now() - begun, std::chrono::seconds(3));
  own.go_on();
  ASSERT_TRUE(until([this] { return read(1) == Code::ok; }));
  own.kill();
  ASSERT_TRUE(until([this] { return read(1) == Code::not_found; }));
}

}  // namespace
}  // namespace tarn::object
