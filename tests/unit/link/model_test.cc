// Random callers, a random server and a random network around one link, and beside it a model of
// what each operation must then say. The model learns of every event before the link does, so that
// the link's callbacks can be held to it. TARN_SEED=n runs one seed alone.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <optional>
#include <random>

#include "common/block/checksum.h"
#include "common/fabric/link.h"
#include "common/wire/request_guard.h"
#include "tests/unit/link/link_model.h"
#include "tests/unit/wire/samples.h"

namespace tarn::fabric {
namespace {

constexpr uint64_t kId = 99;
constexpr uint16_t kLane = 2;
constexpr size_t kItems = 12;
constexpr uint64_t kSeeds = 150;

class World {
 public:
  explicit World(uint64_t seed) : x_random(seed) {
    x_identity.connection_id = kId;
    x_identity.nonce = {1, 2, 3};
    x_identity.incarnation = Incarnation{5};
    x_identity.lane = kLane;
    x_identity.credits = static_cast<uint32_t>(1 + draw(6));
    x_identity.credit_bytes = 4096 << draw(4);
    x_link = std::move(Link::open({x_identity, std::string(32, 'k'), std::make_unique<Wire>(*this),
                                   &x_clock}))
                 .value();
  }

  void run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      step();
      compare();
    }
    lose(Code::unavailable);
    x_link->lost(unavailable("the end"));
    while (!x_landings.empty())
      land(Code::cancelled);
    for (Flight& flight : x_flights) {
      if (flight.sending) end_send(flight);
    }
    compare();
    EXPECT_TRUE(x_link->is_idle());
    for (const Job& job : x_jobs)
      EXPECT_EQ(job.ends, 1);
  }

 private:
  class Wire : public Connection {
   public:
    explicit Wire(World& world) : x_world(world) {}
    Status send(Bytes header, std::span<const Bytes> payload, SendDone done) override {
      return x_world.on_send(header, payload, std::move(done));
    }
    void close() override { x_world.x_is_closed = true; }

   private:
    World& x_world;
  };

  class Source : public Payload {
   public:
    Source(World& world, std::optional<Landing> landing, uint64_t size)
        : x_world(world), x_landing(std::move(landing)), x_size(size) {}
    ~Source() override { EXPECT_FALSE(x_landing) << "a block that was wanted is not received"; }
    uint64_t size() const override { return x_size; }
    void receive(std::span<const MutableBytes> into, ReceiveDone done) override {
      ASSERT_TRUE(x_landing) << "a block that nobody wants is received";
      x_landing->into.assign(into.begin(), into.end());
      x_landing->done = std::move(done);
      x_world.x_landings.push_back(*std::exchange(x_landing, {}));
    }

   private:
    World& x_world;
    std::optional<Landing> x_landing;
    uint64_t x_size;
  };

  size_t draw(size_t below) { return x_random() % below; }
  bool chance(size_t percent) { return draw(100) < percent; }

  void step() {
    const size_t what = draw(100);
    if (what < 25) return submit();
    if (what < 65) return answer();
    if (what < 80) return land(chance(90) ? Code::ok : Code::unavailable);
    if (what < 88) return end_some_send();
    if (what < 97) return pass_time();
    if (what < 99) return hasten();
    // Late in the run, or it would say little.
    if (x_jobs.size() > 60 && chance(30)) {
      lose(Code::unavailable);
      x_link->lost(unavailable("the peer is gone"));
    }
  }

  // Callers.

  void submit() {
    constexpr LinkOp::Kind kinds[] = {LinkOp::Kind::get,    LinkOp::Kind::get,
                                      LinkOp::Kind::put,    LinkOp::Kind::exists,
                                      LinkOp::Kind::remove, LinkOp::Kind::ping};
    Job& job = x_jobs.emplace_back(kinds[draw(std::size(kinds))]);
    fill(job);
    job.deadline = chance(40) ? kNever : x_clock.now() + Millis(draw(20));
    LinkOp& op = job.op();
    op.deadline = job.deadline;
    op.on_end = [this, &job](LinkOp&) { on_end(job); };
    if (x_is_lost) {
      EXPECT_EQ(hand_over(job).code(), Code::unavailable);
      x_jobs.pop_back();
      return;
    }
    x_waiting.push_back(&job);
    EXPECT_TRUE(hand_over(job).is_ok());
  }

  Status hand_over(Job& job) {
    if (job.is_get()) return x_link->submit(job.get);
    if (job.kind == LinkOp::Kind::put) return x_link->submit(job.put);
    if (job.kind == LinkOp::Kind::ping) return x_link->submit(job.ping);
    return x_link->submit(job.keys);
  }

  void fill(Job& job) {
    const size_t count = job.is_get() || job.is_keys() ? 1 + draw(kItems) : 1;
    job.expected.resize(count);
    for (size_t i = 0; i < count; ++i)
      job.items.push_back({Shard{0}, wire::samples::hash_of(32, static_cast<uint8_t>(i))});
    if (job.is_keys()) {
      job.codes.resize(count);
      job.keys.items = job.items;
      job.keys.codes = job.codes;
    } else if (job.kind == LinkOp::Kind::put) {
      job.text.assign(1 + draw(9000), 'p');
      job.payload = std::as_bytes(std::span(job.text));
      job.put.request = wire::samples::put_request();
      job.put.request.payload_bytes = job.text.size();
      job.put.payload = {&job.payload, 1};
    } else if (job.is_get()) {
      fill_rooms(job);
    }
  }

  void fill_rooms(Job& job) {
    for (const wire::BlockItem& item : job.items) {
      auto& room = job.rooms.emplace_back(1 + draw(3000));
      auto& parts = job.parts.emplace_back();
      MutableBytes rest = room;
      while (!rest.empty()) {
        parts.push_back(rest.first(std::min(rest.size(), draw(800))));
        rest = rest.subspan(parts.back().size());
      }
      GetTarget& target = job.targets.emplace_back();
      target.hash = item.hash;
      target.into = parts;
      target.exact = chance(50);
      target.bytes = 12345;  // of an earlier use of the object
    }
    job.get.targets = job.targets;
    job.get.on_block = [this, &job](GetOp&, size_t index) { on_block(job, index); };
  }

  void hasten() {
    Job* const job = some_job();
    if (job == nullptr) return;
    const Instant sooner = x_clock.now() + Millis(draw(5));
    job->deadline = std::min(job->deadline, sooner);
    x_link->hasten(job->op(), sooner);
    EXPECT_LE(x_link->next_deadline(), job->deadline);
  }

  Job* some_job() {
    std::vector<Job*> active;
    for (Job& job : x_jobs) {
      if (!job.is_over) active.push_back(&job);
    }
    return active.empty() ? nullptr : active[draw(active.size())];
  }

  void on_block(Job& job, size_t index) {
    const Expected& expected = job.expected.at(index);
    ASSERT_TRUE(expected.code) << "a block ends that should not";
    EXPECT_EQ(job.targets[index].code, *expected.code);
    EXPECT_EQ(job.targets[index].bytes, expected.bytes);
    if (expected.code != Code::ok) return;
    const std::string bytes = content(index, expected.bytes);
    EXPECT_EQ(std::memcmp(job.rooms[index].data(), bytes.data(), bytes.size()), 0);
  }

  void on_end(Job& job) {
    ++job.ends;
    EXPECT_TRUE(job.is_over) << "an operation ends that should not";
    EXPECT_EQ(job.memory, 0u) << "its memory is in use";
    EXPECT_EQ(job.op().code, job.code);
    for (size_t i = 0; i < job.codes.size(); ++i)
      EXPECT_EQ(job.codes[i], job.expected[i].code);
  }

  // The network.

  Status on_send(Bytes header, std::span<const Bytes> payload, SendDone done) {
    EXPECT_FALSE(x_is_broken || x_is_lost) << "sends go on after a loss";
    if (chance(2)) return overloaded("the send queue is full");
    if (draw(2000) == 0) {
      x_is_broken = true;
      return unavailable("the send fails");
    }
    const uint64_t bytes = payload.empty() ? 0 : payload[0].size();
    const wire::Admitted admitted = x_guard.check(header, bytes);
    EXPECT_EQ(admitted.refusal, wire::Refusal::none) << refusal_name(admitted.refusal);
    if (admitted.request == nullptr || x_waiting.empty()) return unavailable("not expected");
    Job& job = *x_waiting.front();
    Flight& flight = x_flights.emplace_back();
    flight.route = admitted.route;
    flight.job = &job;
    flight.first = job.sent;
    describe(*admitted.request, job, flight);
    flight.answered.resize(flight.count);
    check_credit(flight);
    if (!payload.empty()) {
      flight.sending = std::move(done);
      ++job.memory;
    }
    ++job.flights;
    job.sent += flight.count;
    job.is_waiting = job.sent < job.expected.size();
    if (!job.is_waiting) x_waiting.pop_front();
    return Status::ok();
  }

  void describe(const wire::Request& request, const Job& job, Flight& flight) {
    if (const auto* get = std::get_if<wire::GetRequest>(&request)) {
      ASSERT_TRUE(job.is_get());
      flight.count = get->items.size();
      for (size_t i = 0; i < flight.count; ++i) {
        EXPECT_EQ(get->items[i].hash, job.items[job.sent + i].hash);
        EXPECT_EQ(get->items[i].bytes_max, job.rooms[job.sent + i].size());
        flight.bytes += get->items[i].bytes_max;
      }
    } else if (const auto* put = std::get_if<wire::PutRequest>(&request)) {
      ASSERT_EQ(job.kind, LinkOp::Kind::put);
      flight.bytes = put->payload_bytes;
    } else if (const auto* exists = std::get_if<wire::ExistsRequest>(&request)) {
      flight.count = exists->items.size();
    } else if (const auto* remove = std::get_if<wire::RemoveRequest>(&request)) {
      flight.count = remove->items.size();
    }
  }

  void check_credit(const Flight& fresh) {
    uint64_t bytes = 0;
    size_t requests = 0;
    for (const Flight& flight : x_flights) {
      if (flight.is_over || &flight == &fresh) continue;
      bytes += flight.bytes;
      ++requests;
    }
    EXPECT_LT(requests, x_identity.credits);
    EXPECT_TRUE(bytes == 0 || bytes + fresh.bytes <= x_identity.credit_bytes)
        << bytes << " and " << fresh.bytes << " of " << x_identity.credit_bytes;
  }

  void land(Code code) {
    if (x_landings.empty()) return;
    const size_t which = draw(x_landings.size());
    Landing landing = std::move(x_landings[which]);
    x_landings.erase(x_landings.begin() + static_cast<ptrdiff_t>(which));
    std::string bytes = landing.bytes;
    const bool is_damaged = code == Code::ok && chance(5);
    if (is_damaged || code != Code::ok) bytes[draw(bytes.size())] ^= 1;
    size_t at = 0;
    for (const MutableBytes& part : landing.into) {
      std::memcpy(part.data(), bytes.data() + at, part.size());
      at += part.size();
    }
    Flight& flight = *landing.flight;
    Job& job = *flight.job;
    --flight.receives;
    --job.memory;
    if (code != Code::ok) {
      settle(job, landing.item, job.code == Code::ok ? Code::unavailable : job.code, 0);
    } else if (is_damaged) {
      ++x_corrupt;
      settle(job, landing.item, Code::corrupt, 0);
    } else {
      settle(job, landing.item, Code::ok, bytes.size());
    }
    finish(flight);
    landing.done(code, block::crc32c(0, bytes.data(), bytes.size()));
  }

  void end_some_send() {
    for (Flight& flight : x_flights) {
      if (flight.sending && chance(60)) return end_send(flight);
    }
  }

  void end_send(Flight& flight) {
    const SendDone done = std::exchange(flight.sending, {});
    --flight.job->memory;
    finish(flight);
    done(chance(50) ? Code::ok : Code::cancelled);
  }

  void pass_time() {
    x_clock.advance(draw(50) == 0 ? Nanos(kLinkAnswerGrace) : Nanos(Millis(draw(8))));
    const Instant now = x_clock.now();
    if (!x_is_lost) expect_expiry(now);
    x_link->expire(now);
  }

  // The server.

  void answer() {
    if (x_flights.empty()) return;
    // Mostly one of the last, which may be open.
    const size_t back = draw(std::min<size_t>(x_flights.size(), chance(90) ? 6 : 200));
    Flight& flight = x_flights[x_flights.size() - 1 - back];
    const size_t what = draw(100);
    if (what < 5) return reply(flight, wire::Pong{}, LinkOp::Kind::ping);
    if (what < 10) return refuse(flight);
    const LinkOp::Kind kind = what < 15 ? LinkOp::Kind::put : flight.job->kind;
    if (kind == LinkOp::Kind::ping) return reply(flight, wire::Pong{}, kind);
    if (kind == LinkOp::Kind::get) return chance(70) ? send_block(flight) : send_misses(flight);
    const Code code = static_cast<Code>(draw(kCodeCount));
    if (kind == LinkOp::Kind::put) {
      return reply(flight, wire::PutReply{{}, code, 1, {}}, kind, {code});
    }
    send_codes(flight);
  }

  // The model of a reply without a payload that gives the items from 0 on these codes.
  template <typename Message>
  void reply(Flight& flight, const Message& message, LinkOp::Kind kind,
             std::vector<Code> codes = {Code::ok}) {
    if (take(flight, kind, 0, codes.size())) {
      for (size_t i = 0; i < codes.size(); ++i)
        settle_answered(flight, i, codes[i]);
      finish(flight);
    }
    deliver(flight, message, 0, {});
  }

  void send_codes(Flight& flight) {
    const size_t count = chance(90) ? flight.count : flight.count + 1;
    std::vector<Code> codes;
    for (size_t i = 0; i < count; ++i)
      codes.push_back(static_cast<Code>(draw(kCodeCount)));
    wire::BoundedList<Code, wire::kItemsMax> list;
    for (const Code code : codes)
      list.push_back(code);
    const LinkOp::Kind kind = chance(90) ? flight.job->kind : LinkOp::Kind::remove;
    if (kind == LinkOp::Kind::exists)
      return reply(flight, wire::ExistsReply{{}, list}, kind, codes);
    reply(flight, wire::RemoveReply{{}, list}, LinkOp::Kind::remove, codes);
  }

  void send_misses(Flight& flight) {
    const size_t first = draw(flight.count + 1);
    const size_t count = 1 + draw(flight.count);
    const Code code = static_cast<Code>(1 + draw(kCodeCount - 1));
    if (take(flight, LinkOp::Kind::get, first, count)) {
      for (size_t i = first; i < first + count; ++i)
        settle_answered(flight, i, code);
      finish(flight);
    }
    const wire::GetReply message{
        {}, static_cast<uint16_t>(first), static_cast<uint16_t>(count), code, {}, 0, 0};
    deliver(flight, message, 0, {});
  }

  void send_block(Flight& flight) {
    const size_t item = draw(flight.count);
    const size_t index = flight.first + item;
    const uint64_t room = flight.job->rooms[index].size();
    const uint64_t size = chance(80) ? room : 1 + draw(2 * room);
    std::optional<Landing> landing;
    if (take(flight, LinkOp::Kind::get, item, 1)) {
      const bool fits = size == room || (size < room && !flight.job->targets[index].exact);
      if (flight.was_given_up) {
        flight.answered[item] = true;
      } else if (!fits) {
        ++x_size_mismatches;
        settle(*flight.job, index, Code::invalid_argument, size);
      } else {
        ++flight.receives;
        ++flight.job->memory;
        landing.emplace(Landing{&flight, index, 0, content(index, size), {}, {}});
      }
      finish(flight);
    }
    const std::string bytes = content(index, size);
    const wire::GetReply message{{},
                                 static_cast<uint16_t>(item),
                                 1,
                                 Code::ok,
                                 Generation{4},
                                 size,
                                 block::crc32c(0, bytes.data(), bytes.size())};
    deliver(flight, message, size, std::move(landing));
  }

  void refuse(Flight& flight) {
    const Code code = static_cast<Code>(1 + draw(kCodeCount - 1));
    if (is_known(flight)) {
      Job& job = *flight.job;
      if (!flight.was_given_up && job.code == Code::ok) job.code = code;
      answer_rest(flight, code);
      finish(flight);
    }
    deliver(flight, wire::ErrorReply{{}, code, {}}, 0, {});
  }

  template <typename Message>
  void deliver(const Flight& flight, const Message& message, uint64_t size,
               std::optional<Landing> landing) {
    wire::HeaderBuffer header;
    wire::encode(flight.route, message, header);
    wire::sign(header, x_server_mac);
    Source payload(*this, std::move(landing), size);
    x_link->on_message(header.view(), payload);
  }

  // The model.

  static std::string content(size_t index, uint64_t bytes) {
    return std::string(bytes, static_cast<char>('A' + index));
  }

  bool is_known(const Flight& flight) {
    if (x_is_lost || flight.is_over) {
      ++x_unknown;
      return false;
    }
    if (flight.was_given_up) ++x_late;
    return true;
  }

  // True when an answer of `kind` to these items counts; they are answered then.
  bool take(Flight& flight, LinkOp::Kind kind, size_t first, size_t count) {
    if (!is_known(flight)) return false;
    const bool is_codes = kind == LinkOp::Kind::exists || kind == LinkOp::Kind::remove;
    if (flight.job->kind != kind || first + count > flight.count ||
        (is_codes && count != flight.count)) {
      ++x_foreign;
      return false;
    }
    for (size_t i = first; i < first + count; ++i) {
      if (!flight.answered[i]) continue;
      ++x_repeated;
      return false;
    }
    for (size_t i = first; i < first + count; ++i)
      flight.answered[i] = true;
    return true;
  }

  void settle(Job& job, size_t index, Code code, uint64_t bytes) {
    EXPECT_FALSE(job.expected[index].code);
    job.expected[index] = {code, bytes};
    const bool is_single = job.kind == LinkOp::Kind::put || job.kind == LinkOp::Kind::ping;
    if (is_single && job.code == Code::ok) job.code = code;
  }

  void settle_answered(Flight& flight, size_t item, Code code) {
    if (!flight.was_given_up) settle(*flight.job, flight.first + item, code, 0);
  }

  void answer_rest(Flight& flight, Code code) {
    for (size_t i = 0; i < flight.count; ++i) {
      if (flight.answered[i]) continue;
      flight.answered[i] = true;
      settle_answered(flight, i, code);
    }
  }

  void finish(Flight& flight) {
    if (flight.is_over || !flight.is_answered() || flight.receives > 0 || flight.sending) return;
    flight.is_over = true;
    if (flight.was_given_up) return;
    --flight.job->flights;
    finish(*flight.job);
  }

  void finish(Job& job) {
    job.is_over = job.flights == 0 && !job.is_waiting;
    if (job.is_over && job.code == Code::deadline_exceeded) ++x_deadlines;
  }

  void drop_waiting(Job& job, Code code) {
    if (!job.is_waiting) return;
    job.is_waiting = false;
    std::erase(x_waiting, &job);
    for (size_t i = job.sent; i < job.expected.size(); ++i)
      job.expected[i] = {code, 0};
  }

  void expect_expiry(Instant now) {
    if (x_is_broken) return lose(Code::unavailable);
    for (Job& job : x_jobs) {
      if (job.is_over || job.deadline > now) continue;
      if (job.memory > 0) return lose(Code::deadline_exceeded);
      give_up(job, now);
    }
    for (const Flight& flight : x_flights) {
      if (!flight.is_over && flight.give_up <= now) return lose(Code::unavailable);
    }
  }

  void give_up(Job& job, Instant now) {
    job.code = Code::deadline_exceeded;
    drop_waiting(job, Code::deadline_exceeded);
    for (Flight& flight : x_flights) {
      if (flight.is_over || flight.was_given_up || flight.job != &job) continue;
      for (size_t i = 0; i < flight.count; ++i) {
        if (!flight.answered[i]) job.expected[flight.first + i] = {Code::deadline_exceeded, 0};
      }
      flight.was_given_up = true;
      flight.give_up = now + kLinkAnswerGrace;
      --job.flights;
    }
    finish(job);
  }

  // An acknowledged put stays so; everything else that is under way has failed.
  void lose(Code why) {
    if (x_is_lost) return;
    x_is_lost = true;
    x_lost_code = why;
    for (Job& job : x_jobs) {
      if (job.is_over || job.code != Code::ok) continue;
      if (job.kind == LinkOp::Kind::put && job.expected[0].code) continue;
      job.code = job.deadline <= x_clock.now() ? Code::deadline_exceeded : Code::unavailable;
    }
    for (Job* const job : std::deque<Job*>(x_waiting)) {
      drop_waiting(*job, job->code);
      finish(*job);
    }
    for (Flight& flight : x_flights) {
      if (flight.is_over) continue;
      answer_rest(flight, flight.job->code);
      finish(flight);
    }
  }

  void compare() {
    bool is_idle = true;
    for (const Flight& flight : x_flights)
      is_idle = is_idle && flight.is_over;
    for (const Job& job : x_jobs) {
      EXPECT_EQ(job.ends, job.is_over ? 1 : 0);
      is_idle = is_idle && job.is_over;
      if (!job.is_over && !x_is_lost) {
        EXPECT_LE(x_link->next_deadline(), job.deadline);
      }
    }
    EXPECT_EQ(x_link->is_idle(), is_idle);
    EXPECT_EQ(x_link->is_lost(), x_is_lost);
    EXPECT_EQ(x_is_closed, x_is_lost);
    if (x_is_lost) {
      EXPECT_EQ(x_link->lost_status().code(), x_lost_code);
    }
    const LinkCounters& counters = x_link->counters();
    EXPECT_EQ(counters.refused.total(), 0u);
    EXPECT_EQ(counters.unknown_replies, x_unknown);
    EXPECT_EQ(counters.late_replies, x_late);
    EXPECT_EQ(counters.repeated_replies, x_repeated);
    EXPECT_EQ(counters.foreign_replies, x_foreign);
    EXPECT_EQ(counters.size_mismatches, x_size_mismatches);
    EXPECT_EQ(counters.corrupt_payloads, x_corrupt);
    EXPECT_EQ(counters.deadlines, x_deadlines);
  }

  std::mt19937_64 x_random;
  ManualClock x_clock;
  LinkIdentity x_identity;
  auth::RequestMac x_server_mac = wire::samples::mac();
  wire::GuardedPeer x_peer{wire::samples::mac(), {}};
  wire::RequestGuard x_guard{kLane, [this](uint64_t) { return &x_peer; }};
  std::deque<Job> x_jobs;
  std::deque<Flight> x_flights;
  std::deque<Job*> x_waiting;
  std::vector<Landing> x_landings;
  bool x_is_closed = false;
  bool x_is_broken = false;
  bool x_is_lost = false;
  Code x_lost_code = Code::ok;
  uint64_t x_unknown = 0, x_late = 0, x_repeated = 0, x_foreign = 0;
  uint64_t x_size_mismatches = 0, x_corrupt = 0, x_deadlines = 0;
  std::unique_ptr<Link> x_link;
};

TEST(LinkModel, EveryOperationSaysWhatTheModelSays) {
  const char* const only = std::getenv("TARN_SEED");
  const uint64_t first = only == nullptr ? 1 : std::strtoull(only, nullptr, 10);
  const uint64_t end = only == nullptr ? first + kSeeds : first + 1;
  for (uint64_t seed = first; seed < end; ++seed) {
    World(seed).run(400);
    ASSERT_FALSE(HasFailure()) << "replay: TARN_SEED=" << seed;
  }
}

}  // namespace
}  // namespace tarn::fabric
