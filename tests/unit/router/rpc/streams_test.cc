// Long-lived streams: how many there are, what happens to a reader that is slower than the news,
// and that nothing stays behind of one that has gone.
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/create_channel.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include "proto/tarn/v1/router.grpc.pb.h"
#include "router/rpc/beat_stream.h"
#include "router/rpc/stream_writer.h"
#include "tests/unit/router/rpc/router_fixture.h"

namespace tarn::router {
namespace {

TEST(Seats, are_given_up_to_their_number_and_come_back) {
  StreamSeats seats(2);
  auto one = std::make_unique<StreamSeats::Seat>(seats.take());
  const auto two = seats.take();
  EXPECT_TRUE(*one);
  EXPECT_TRUE(two);
  for (int i = 0; i < 3; ++i) {
    const auto none = seats.take();
    EXPECT_FALSE(none);
    EXPECT_EQ(seats.taken(), 2) << "a refusal takes nothing";
  }
  one.reset();
  EXPECT_EQ(seats.taken(), 1);
  const auto again = seats.take();
  EXPECT_TRUE(again);
  auto moved_from = seats.take();
  EXPECT_FALSE(moved_from);
}

TEST(Seats, are_counted_once_when_they_are_handed_on) {
  StreamSeats seats(4);
  {
    auto one = seats.take();
    const auto two = std::move(one);
    EXPECT_FALSE(one);  // NOLINT(bugprone-use-after-move): what is left is empty
    EXPECT_TRUE(two);
    EXPECT_EQ(seats.taken(), 1);
  }
  EXPECT_EQ(seats.taken(), 0);
}

TEST(Seats, are_never_more_than_their_number_however_many_ask_at_once) {
  StreamSeats seats(8);
  std::atomic<int> most = 0;
  std::vector<std::thread> askers;
  for (int i = 0; i < 4; ++i) {
    askers.emplace_back([&] {
      for (int round = 0; round < 2000; ++round) {
        std::vector<StreamSeats::Seat> held;
        for (int k = 0; k < 4; ++k) {
          auto seat = seats.take();
          if (seat) held.push_back(std::move(seat));
        }
        int before = most;
        const int now = static_cast<int>(held.size());
        while (before < now && !most.compare_exchange_weak(before, now)) {
        }
      }
    });
  }
  for (auto& asker : askers)
    asker.join();
  EXPECT_EQ(seats.taken(), 0);
  EXPECT_GT(most, 0);
}

// A stream whose news a test makes.
class News : public StreamWriter<v1::ClusterEvent> {
 public:
  News(StreamSeats::Seat seat, WhenFull when_full, std::function<void(News*)> gone)
      : StreamWriter(std::move(seat), when_full), x_gone(std::move(gone)) {}

 private:
  ~News() override { x_gone(this); }
  const std::function<void(News*)> x_gone;
};

class NewsService : public v1::Workers::WithCallbackMethod_WatchEvents<v1::Workers::Service> {
 public:
  explicit NewsService(WhenFull when_full) : x_when_full(when_full) {}

  grpc::ServerWriteReactor<v1::ClusterEvent>* WatchEvents(grpc::CallbackServerContext*,
                                                          const v1::WatchEventsRequest*) override {
    using Refused = RefusedStream<grpc::ServerWriteReactor<v1::ClusterEvent>>;
    auto seat = seats.take();
    if (!seat) return new Refused(overloaded("too many streams"));
    auto* const made = new News(std::move(seat), x_when_full, [this](News* gone) {
      const std::lock_guard lock(x_mutex);
      if (x_latest == gone) x_latest = nullptr;
    });
    made->StartSendInitialMetadata();
    const std::lock_guard lock(x_mutex);
    x_latest = made;
    return made;
  }

  // To the newest stream, while it lives. False when it does not.
  bool tell(uint64_t number, size_t bytes) {
    const std::lock_guard lock(x_mutex);
    if (x_latest == nullptr) return false;
    v1::ClusterEvent event;
    event.set_epoch(number);
    event.set_name(std::string(bytes, 'n'));
    x_latest->push(std::move(event));
    return true;
  }

  StreamSeats seats{2};

 private:
  const WhenFull x_when_full;
  std::mutex x_mutex;
  News* x_latest = nullptr;
};

class Streaming {
 public:
  explicit Streaming(WhenFull when_full) : service(when_full) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    server = builder.BuildAndStart();
    stub = v1::Workers::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                                    grpc::InsecureChannelCredentials()));
  }
  ~Streaming() { server->Shutdown(std::chrono::system_clock::now()); }

  NewsService service;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<v1::Workers::Stub> stub;
};

// More than gRPC takes off our hands for a reader that does not read.
constexpr size_t kBigBytes = 64 * 1024;

TEST(StreamWriters, end_a_reader_that_must_miss_nothing_and_is_too_slow) {
  Streaming streaming(WhenFull::end);
  Call call;
  const auto stream = streaming.stub->WatchEvents(&call, {});
  stream->WaitForInitialMetadata();
  uint64_t told = 0;
  while (told < 100 * kStreamQueueMax && streaming.service.tell(told + 1, kBigBytes))
    ++told;
  EXPECT_GE(told, kStreamQueueMax) << "the queue has that much room";
  // Whatever it still gets is without a hole.
  v1::ClusterEvent event;
  uint64_t next = 1;
  while (stream->Read(&event))
    ASSERT_EQ(event.epoch(), next++);
  const Status why = rpc::from_grpc(stream->Finish());
  EXPECT_EQ(why.code(), Code::overloaded);
  EXPECT_NE(why.message().find("too slow"), std::string::npos) << why.message();
  EXPECT_TRUE(eventually([&] { return streaming.service.seats.taken() == 0; }));
}

TEST(StreamWriters, give_a_slow_reader_the_latest_where_that_is_enough) {
  Streaming streaming(WhenFull::keep_latest);
  Call call;
  const auto stream = streaming.stub->WatchEvents(&call, {});
  stream->WaitForInitialMetadata();
  constexpr uint64_t kTold = 2000;
  for (uint64_t i = 1; i <= kTold; ++i)
    ASSERT_TRUE(streaming.service.tell(i, kBigBytes)) << "the stream has ended";
  v1::ClusterEvent event;
  uint64_t before = 0;
  uint64_t read = 0;
  while (before < kTold && stream->Read(&event)) {
    ASSERT_GT(event.epoch(), before) << "never back in time";
    before = event.epoch();
    ++read;
  }
  EXPECT_EQ(before, kTold) << "the latest always comes";
  EXPECT_LT(read, kTold / 2) << "nothing was left out";
  call.TryCancel();
  (void)stream->Finish();
}

TEST(StreamWriters, leave_nothing_behind_of_a_reader_that_goes) {
  for (const WhenFull when_full : {WhenFull::keep_latest, WhenFull::end}) {
    Streaming streaming(when_full);
    for (int round = 0; round < 20; ++round) {
      Call call;
      const auto stream = streaming.stub->WatchEvents(&call, {});
      stream->WaitForInitialMetadata();
      for (uint64_t i = 0; i < static_cast<uint64_t>(round); ++i)
        (void)streaming.service.tell(i, 100);
      call.TryCancel();  // in the middle of a write, or of none
      EXPECT_FALSE(stream->Finish().ok());
      ASSERT_TRUE(eventually([&] { return streaming.service.seats.taken() == 0; }));
    }
  }
}

TEST(StreamWriters, tell_who_finds_no_seat) {
  Streaming streaming(WhenFull::end);
  Call calls[3];
  std::vector<std::unique_ptr<grpc::ClientReader<v1::ClusterEvent>>> streams;
  for (int i = 0; i < 2; ++i) {
    streams.push_back(streaming.stub->WatchEvents(&calls[i], {}));
    streams.back()->WaitForInitialMetadata();
  }
  const auto refused = streaming.stub->WatchEvents(&calls[2], {});
  v1::ClusterEvent event;
  EXPECT_FALSE(refused->Read(&event));
  EXPECT_EQ(code_of(refused->Finish()), Code::overloaded);
  calls[0].TryCancel();
  (void)streams[0]->Finish();
  EXPECT_TRUE(eventually([&] {
    Call call;
    const auto next = streaming.stub->WatchEvents(&call, {});
    next->WaitForInitialMetadata();
    const bool has_seat = streaming.service.seats.taken() == 2;
    call.TryCancel();
    return has_seat && next->Finish().error_code() == grpc::StatusCode::CANCELLED;
  }));
  calls[1].TryCancel();
  (void)streams[1]->Finish();
}

// The server's end of beats that a test answers.
class Beats : public BeatStream<v1::WorkerBeat, v1::WorkerAck> {
 public:
  Beats(StreamSeats::Seat seat, std::atomic<int>& heard, std::atomic<int>& ended)
      : BeatStream(std::move(seat)), x_heard(heard), x_ended(ended) {}

 private:
  Result<v1::WorkerAck> heard(const v1::WorkerBeat& beat) override {
    ++x_heard;
    if (beat.name() == "bad") return invalid_argument("name: is bad");
    v1::WorkerAck ack;
    ack.set_interval_ms(beat.capacity());
    return ack;
  }
  void ended() override { ++x_ended; }

  std::atomic<int>& x_heard;
  std::atomic<int>& x_ended;
};

class BeatService : public v1::Workers::WithCallbackMethod_Register<v1::Workers::Service> {
 public:
  grpc::ServerBidiReactor<v1::WorkerBeat, v1::WorkerAck>* Register(
      grpc::CallbackServerContext*) override {
    auto* const made = new Beats(seats.take(), heard, ended);
    made->begin();
    return made;
  }

  StreamSeats seats;
  std::atomic<int> heard = 0;
  std::atomic<int> ended = 0;
};

class BeatStreams : public ::testing::Test {
 protected:
  BeatStreams() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    server = builder.BuildAndStart();
    stub = v1::Workers::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                                    grpc::InsecureChannelCredentials()));
  }
  ~BeatStreams() override { server->Shutdown(std::chrono::system_clock::now()); }

  static v1::WorkerBeat beat(const std::string& name, uint32_t number = 0) {
    v1::WorkerBeat made;
    made.set_name(name);
    made.set_capacity(number);
    return made;
  }

  BeatService service;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<v1::Workers::Stub> stub;
};

TEST_F(BeatStreams, answer_each_beat_in_its_order_though_many_come_at_once) {
  Call call;
  const auto stream = stub->Register(&call);
  constexpr uint32_t kBeats = 500;
  std::thread writer([&] {
    for (uint32_t i = 0; i < kBeats; ++i)
      EXPECT_TRUE(stream->Write(beat("w", i)));
    stream->WritesDone();
  });
  v1::WorkerAck ack;
  for (uint32_t i = 0; i < kBeats; ++i) {
    ASSERT_TRUE(stream->Read(&ack));
    EXPECT_EQ(ack.interval_ms(), i);
  }
  writer.join();
  EXPECT_FALSE(stream->Read(&ack));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(eventually([&] { return service.seats.taken() == 0; }));
  EXPECT_EQ(service.ended, 1);
}

TEST_F(BeatStreams, end_once_however_they_end) {
  struct Case {
    const char* what;
    std::function<void(grpc::ClientContext&,
                       grpc::ClientReaderWriter<v1::WorkerBeat, v1::WorkerAck>&)>
        end;
  };
  const Case cases[] = {
      {"the peer is done", [](auto&, auto& stream) { stream.WritesDone(); }},
      {"the peer cancels", [](auto& call, auto&) { call.TryCancel(); }},
      {"a beat is refused", [](auto&, auto& stream) { (void)stream.Write(beat("bad")); }},
      {"a refusal and a cancel",
       [](auto& call, auto& stream) {
         (void)stream.Write(beat("bad"));
         call.TryCancel();
       }},
  };
  int ended = 0;
  for (const Case& each : cases) {
    Call call;
    const auto stream = stub->Register(&call);
    v1::WorkerAck ack;
    ASSERT_TRUE(stream->Write(beat("w")) && stream->Read(&ack)) << each.what;
    each.end(call, *stream);
    (void)stream->Finish();
    ASSERT_TRUE(eventually([&] { return service.seats.taken() == 0; })) << each.what;
    EXPECT_EQ(service.ended, ++ended) << each.what;
  }
}

TEST_F(BeatStreams, say_why_a_beat_is_refused) {
  Call call;
  const auto stream = stub->Register(&call);
  ASSERT_TRUE(stream->Write(beat("bad")));
  v1::WorkerAck ack;
  EXPECT_FALSE(stream->Read(&ack));
  const Status why = rpc::from_grpc(stream->Finish());
  EXPECT_EQ(why.code(), Code::invalid_argument);
  EXPECT_EQ(why.message(), "name: is bad");
}

}  // namespace
}  // namespace tarn::router
