#include "benchmarks/peers/raw/text_stores.h"

#include <charconv>

#include "common/base/check.h"

namespace tarn::peers {
namespace {

std::optional<uint64_t> number_after(std::string_view line, std::string_view prefix) {
  if (!line.starts_with(prefix)) return std::nullopt;
  line.remove_prefix(prefix.size());
  uint64_t number = 0;
  const auto read = std::from_chars(line.data(), line.data() + line.size(), number);
  return read.ec == std::errc() ? std::optional(number) : std::nullopt;
}

class MemcachedStore final : public TextStore {
 protected:
  Status send_put(Wire& wire, const std::string& key, std::string_view value) override {
    const std::string head = "ms " + key + ' ' + std::to_string(value.size()) + "\r\n";
    return wire.send({head, value, "\r\n"});
  }
  Status send_get(Wire& wire, const std::string& key) override {
    const std::string line = "mg " + key + " v\r\n";
    return wire.send({line});
  }
  std::string ask_exists(const std::string& key) override { return "mg " + key + "\r\n"; }
  std::string ask_remove(const std::string& key) override { return "md " + key + "\r\n"; }
  bool is_put(std::string_view line) override { return line.starts_with("HD"); }
  bool is_there(std::string_view line) override { return line.starts_with("HD"); }
  std::optional<uint64_t> value_bytes(std::string_view line) override {
    return number_after(line, "VA ");
  }
};

std::string resp(std::string_view verb, const std::string& key, int words) {
  return '*' + std::to_string(words) + "\r\n$" + std::to_string(verb.size()) + "\r\n" +
         std::string(verb) + "\r\n$" + std::to_string(key.size()) + "\r\n" + key + "\r\n";
}

class RespStore final : public TextStore {
 protected:
  Status send_put(Wire& wire, const std::string& key, std::string_view value) override {
    const std::string head = resp("SET", key, 3) + '$' + std::to_string(value.size()) + "\r\n";
    return wire.send({head, value, "\r\n"});
  }
  Status send_get(Wire& wire, const std::string& key) override {
    const std::string line = resp("GET", key, 2);
    return wire.send({line});
  }
  std::string ask_exists(const std::string& key) override { return resp("EXISTS", key, 2); }
  std::string ask_remove(const std::string& key) override { return resp("UNLINK", key, 2); }
  bool is_put(std::string_view line) override { return line == "+OK"; }
  bool is_there(std::string_view line) override { return line == ":1"; }
  std::optional<uint64_t> value_bytes(std::string_view line) override {
    return number_after(line, "$");
  }
};

}  // namespace

Status TextStore::begin_put(uint32_t slot, const std::string& key, std::span<std::byte> value) {
  x_running.push_back({slot, {}});
  return send_put(x_wire, key, {reinterpret_cast<const char*>(value.data()), value.size()});
}

Status TextStore::begin_get(uint32_t slot, const std::string& key, std::span<std::byte> place) {
  x_running.push_back({slot, place});
  return send_get(x_wire, key);
}

Result<uint32_t> TextStore::wait() {
  TARN_CHECK(!x_running.empty());
  const Running running = x_running.front();
  x_running.pop_front();
  if (!running.place.empty()) {
    TARN_RETURN_IF_ERROR(read_value(running.place));
    return running.slot;
  }
  const auto line = x_wire.read_line();
  if (!line) return line.error();
  if (!is_put(*line)) return unavailable("put: " + std::string(*line));
  return running.slot;
}

Status TextStore::read_value(std::span<std::byte> place) {
  const auto line = x_wire.read_line();
  if (!line) return line.error();
  if (value_bytes(*line) != place.size()) return not_found("get: " + std::string(*line));
  TARN_RETURN_IF_ERROR(x_wire.read_into(place));
  const auto end = x_wire.read_line();
  if (!end) return end.error();
  return end->empty() ? Status::ok() : internal_error("get: no end of the value");
}

Result<uint64_t> TextStore::exists(std::span<const std::string> keys) {
  std::string question;
  for (const std::string& key : keys)
    question += ask_exists(key);
  TARN_RETURN_IF_ERROR(x_wire.send({question}));
  uint64_t there = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto line = x_wire.read_line();
    if (!line) return line.error();
    there += is_there(*line) ? 1 : 0;
  }
  return there;
}

Status TextStore::remove(std::span<const std::string> keys) {
  for (const std::string& key : keys) {
    const std::string line = ask_remove(key);
    TARN_RETURN_IF_ERROR(x_wire.send({line}));
    const auto answer = x_wire.read_line();
    if (!answer) return answer.error();
  }
  return Status::ok();
}

std::unique_ptr<TextStore> memcached_store() {
  return std::make_unique<MemcachedStore>();
}

std::unique_ptr<TextStore> resp_store() {
  return std::make_unique<RespStore>();
}

}  // namespace tarn::peers
