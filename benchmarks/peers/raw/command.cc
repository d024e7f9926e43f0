#include "benchmarks/peers/raw/command.h"

#include <charconv>
#include <chrono>
#include <ctime>
#include <sstream>

namespace tarn::peers {
namespace {

template <typename T>
bool read_number(std::string_view text, T* value) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), *value);
  return read.ec == std::errc() && read.ptr == text.data() + text.size();
}

bool read_processes(std::string_view text, std::vector<pid_t>* processes) {
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(','));
    pid_t process = 0;
    if (!read_number(word, &process) || process <= 0) return false;
    processes->push_back(process);
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  return true;
}

bool read_field(std::string_view name, std::string_view value, Command* command) {
  if (name == "bytes") return read_number(value, &command->bytes);
  if (name == "inflight") return read_number(value, &command->inflight);
  if (name == "millis") return read_number(value, &command->millis);
  if (name == "ops") return read_number(value, &command->ops);
  if (name == "count") return read_number(value, &command->count);
  if (name == "turn") return read_number(value, &command->turn);
  return name == "servers" && read_processes(value, &command->servers);
}

int64_t read_clock_ns(clockid_t clock) {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) return 0;
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

Result<Command> parse_command(std::string_view line) {
  std::istringstream words{std::string(line)};
  Command command;
  words >> command.verb;
  std::string word;
  while (words >> word) {
    const size_t equals = word.find('=');
    const bool is_read = equals != std::string::npos &&
                         read_field(std::string_view(word).substr(0, equals),
                                    std::string_view(word).substr(equals + 1), &command);
    if (!is_read) return invalid_argument("no field of a command: " + word);
  }
  if (command.verb.empty()) return invalid_argument("an empty line is no command");
  if (command.inflight == 0) return invalid_argument("inflight: at least 1");
  return command;
}

std::string Answer::to_line() const {
  std::ostringstream line;
  line << "done ops=" << ops << " bytes=" << bytes << " checked=" << checked
       << " wall_ns=" << wall_ns << " client_cpu_ns=" << client_cpu_ns
       << " server_cpu_ns=" << server_cpu_ns << " latencies=";
  for (size_t i = 0; i < latencies_ns.size(); ++i)
    line << (i == 0 ? "" : ",") << latencies_ns[i];
  return line.str();
}

int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

int64_t own_cpu_ns() {
  return read_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

int64_t cpu_ns_of(const std::vector<pid_t>& processes) {
  int64_t sum = 0;
  for (const pid_t process : processes) {
    clockid_t clock{};
    if (clock_getcpuclockid(process, &clock) == 0) sum += read_clock_ns(clock);
  }
  return sum;
}

}  // namespace tarn::peers
