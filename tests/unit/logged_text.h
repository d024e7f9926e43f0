#pragma once

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>

#include "common/base/log.h"

namespace tarn {

// What this process logs while it lives, besides where it goes anyway. Thread-safe, but made and
// destroyed while no other thread logs.
class LoggedText {
 public:
  LoggedText() {
    auto sinks = log::logger().sinks();
    sinks.push_back(x_sink);
    auto logger = std::make_shared<spdlog::logger>("logged text", sinks.begin(), sinks.end());
    logger->set_level(std::min(log::logger().level(), spdlog::level::info));
    x_before = log::set_logger(std::move(logger));
  }
  ~LoggedText() { log::set_logger(x_before); }
  LoggedText(const LoggedText&) = delete;
  LoggedText& operator=(const LoggedText&) = delete;

  std::string text() const { return x_sink->text(); }
  bool has(const std::string& words) const { return text().find(words) != std::string::npos; }
  // Lines with these words.
  size_t count(const std::string& words) const {
    const std::string all = text();
    size_t found = 0;
    for (size_t at = all.find(words); at != std::string::npos; at = all.find(words, at + 1))
      ++found;
    return found;
  }

 private:
  class Sink : public spdlog::sinks::base_sink<std::mutex> {
   public:
    std::string text() {
      const std::lock_guard lock(mutex_);
      return x_text;
    }

   private:
    void sink_it_(const spdlog::details::log_msg& message) override {
      x_text.append(message.payload.data(), message.payload.size()).push_back('\n');
    }
    void flush_() override {}

    std::string x_text;
  };

  std::shared_ptr<spdlog::logger> x_before;
  const std::shared_ptr<Sink> x_sink = std::make_shared<Sink>();
};

}  // namespace tarn
