#include "benchmarks/peers/raw/runner.h"

#include <algorithm>
#include <cstring>
#include <iostream>

namespace tarn::peers {
namespace {

std::string working_key(uint64_t bytes, uint64_t number) {
  return 'w' + std::to_string(bytes) + '-' + std::to_string(number);
}

std::vector<std::string> working_keys(const Command& command) {
  std::vector<std::string> keys;
  for (uint64_t number = 0; number < command.count; ++number)
    keys.push_back(working_key(command.bytes, number));
  return keys;
}

// Half of them are in the working set, in turn with others that are nowhere.
std::vector<std::string> half_there(const Command& command) {
  std::vector<std::string> keys;
  for (uint64_t number = 0; number < command.count; ++number) {
    const bool is_there = number % 2 == 0;
    keys.push_back((is_there ? "" : "no-") + working_key(command.bytes, number / 2));
  }
  return keys;
}

}  // namespace

Result<Answer> Runner::run(const Command& command) {
  if (command.bytes == 0 || command.bytes > x_payload.source_bytes() ||
      x_payload.places(command.bytes, command.inflight) == 0) {
    return invalid_argument("bytes: so many do not fit into the client's memory");
  }
  if (command.verb == "fill") return fill(command);
  if (command.verb == "get" || command.verb == "put") return transfer(command);
  if (command.verb == "exists") return exists(command);
  if (command.verb == "drop") return drop(command);
  return invalid_argument("no command: " + command.verb);
}

Result<Answer> Runner::fill(const Command& command) {
  Answer answer;
  for (uint64_t number = 0; number < command.count; ++number) {
    TARN_RETURN_IF_ERROR(x_store.begin_put(0, working_key(command.bytes, number),
                                           x_payload.value(number, command.bytes)));
    const auto ended = x_store.wait();
    if (!ended) return ended.error();
    ++answer.ops;
  }
  return answer;
}

std::string Runner::key_of(const Command& command, uint64_t number) const {
  if (command.verb == "get") return working_key(command.bytes, number % command.count);
  return 'p' + std::to_string(command.turn) + '-' + std::to_string(number);
}

std::span<std::byte> Runner::place_of(const Command& command, uint64_t number) const {
  const uint64_t places = x_payload.places(command.bytes, command.inflight);
  return x_payload.place(number % places, command.bytes);
}

Status Runner::begin(const Command& command, uint32_t slot) {
  const uint64_t number = x_begun++;
  const std::string key = key_of(command, number);
  x_flights[slot] = {now_ns(), number};
  if (command.verb == "put") {
    return x_store.begin_put(slot, key, x_payload.value(number, command.bytes));
  }
  return x_store.begin_get(slot, key, place_of(command, number));
}

Status Runner::go_round(const Command& command, Answer* answer) {
  const int64_t end_ns = now_ns() + command.millis * 1'000'000;
  uint64_t running = 0;
  for (uint32_t slot = 0; slot < command.inflight && x_begun < command.ops; ++slot, ++running)
    TARN_RETURN_IF_ERROR(begin(command, slot));
  while (running > 0) {
    const auto slot = x_store.wait();
    if (!slot) return slot.error();
    const int64_t now = now_ns();
    answer->latencies_ns.push_back(now - x_flights[*slot].begun_ns);
    if (now < end_ns && x_begun < command.ops) {
      TARN_RETURN_IF_ERROR(begin(command, *slot));
    } else {
      --running;
    }
  }
  return Status::ok();
}

Result<Answer> Runner::transfer(const Command& command) {
  if (command.verb == "get" && command.count == 0) return invalid_argument("count: at least 1");
  Answer answer;
  answer.latencies_ns.reserve(command.ops);
  x_flights.assign(command.inflight, {});
  x_begun = 0;
  const int64_t servers_ns = cpu_ns_of(command.servers);
  const int64_t own_ns = own_cpu_ns();
  const int64_t begin_ns = now_ns();
  TARN_RETURN_IF_ERROR(go_round(command, &answer));
  answer.wall_ns = now_ns() - begin_ns;
  answer.client_cpu_ns = own_cpu_ns() - own_ns;
  answer.server_cpu_ns = cpu_ns_of(command.servers) - servers_ns;
  answer.ops = answer.latencies_ns.size();
  answer.bytes = answer.ops * command.bytes;
  TARN_RETURN_IF_ERROR(command.verb == "get" ? check(command, &answer) : remove_put(command));
  return answer;
}

Status Runner::check(const Command& command, Answer* answer) const {
  const uint64_t places = x_payload.places(command.bytes, command.inflight);
  const uint64_t in_ring = std::min(x_begun, places);
  for (uint64_t number = x_begun - in_ring; number < x_begun; ++number) {
    const auto got = place_of(command, number);
    const auto put = x_payload.value(number % command.count, command.bytes);
    if (std::memcmp(got.data(), put.data(), command.bytes) != 0) {
      return corrupt("get of " + key_of(command, number) + ": other bytes than were put");
    }
    std::memset(got.data(), 0, std::min<uint64_t>(command.bytes, 64));
    ++answer->checked;
  }
  return Status::ok();
}

Status Runner::remove_put(const Command& command) {
  std::vector<std::string> keys;
  for (uint64_t number = 0; number < x_begun; ++number)
    keys.push_back(key_of(command, number));
  // The last one is read back: a put that kept nothing is no put.
  if (!keys.empty()) {
    const auto place = x_payload.place(0, command.bytes);
    TARN_RETURN_IF_ERROR(x_store.begin_get(0, keys.back(), place));
    const auto ended = x_store.wait();
    if (!ended) return ended.error();
    const auto put = x_payload.value(x_begun - 1, command.bytes);
    if (std::memcmp(place.data(), put.data(), command.bytes) != 0) {
      return corrupt("put of " + keys.back() + ": other bytes came back");
    }
  }
  return x_store.remove(keys);
}

Result<Answer> Runner::exists(const Command& command) {
  const std::vector<std::string> keys = half_there(command);
  Answer answer;
  const int64_t servers_ns = cpu_ns_of(command.servers);
  const int64_t own_ns = own_cpu_ns();
  const int64_t begin_ns = now_ns();
  const int64_t end_ns = begin_ns + command.millis * 1'000'000;
  while (answer.ops < command.ops && (answer.ops == 0 || now_ns() < end_ns)) {
    const int64_t call_ns = now_ns();
    const auto there = x_store.exists(keys);
    if (!there) return there.error();
    answer.latencies_ns.push_back(now_ns() - call_ns);
    if (*there != (keys.size() + 1) / 2) {
      return corrupt("exists: " + std::to_string(*there) + " of " + std::to_string(keys.size()));
    }
    ++answer.ops;
    ++answer.checked;
  }
  answer.wall_ns = now_ns() - begin_ns;
  answer.client_cpu_ns = own_cpu_ns() - own_ns;
  answer.server_cpu_ns = cpu_ns_of(command.servers) - servers_ns;
  return answer;
}

Result<Answer> Runner::drop(const Command& command) {
  TARN_RETURN_IF_ERROR(x_store.remove(working_keys(command)));
  return Answer{};
}

void serve_lines(Runner& runner) {
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto command = parse_command(line);
    const auto answer = command ? runner.run(*command) : Result<Answer>(command.error());
    std::cout << (answer ? answer->to_line() : "error " + answer.error().to_string()) << '\n'
              << std::flush;
  }
}

}  // namespace tarn::peers
