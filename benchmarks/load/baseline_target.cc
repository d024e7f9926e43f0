#include "benchmarks/load/baseline_target.h"

#include <utility>

namespace tarn::load {
namespace {

constexpr std::string_view kSlice = "slice ";

}  // namespace

Expected<std::unique_ptr<BaselineTarget>> BaselineTarget::open(Stage& stage,
                                                               const BaselineOptions& options) {
  ChildOptions child;
  child.words = options.words;
  child.environment = options.environment;
  child.is_talking = true;
  auto started = Child::start(stage, child);
  if (!started) return started.error();
  return std::unique_ptr<BaselineTarget>(new BaselineTarget(options, std::move(started).value()));
}

Expected<report::Slice> BaselineTarget::run(int64_t millis) {
  const Workload& work = x_options.workload;
  auto said = x_child.say(std::string("run ") + (work.op == Op::put ? "put " : "get ") +
                          std::to_string(work.block_bytes) + ' ' + std::to_string(work.inflight) +
                          (x_options.is_checked ? " crc " : " nocrc ") + std::to_string(millis));
  if (!said) {
    // Whoever ends before being asked has said why.
    const auto last = x_child.hear(kChildAnswerMs);
    return last ? Error{Outcome::unavailable, x_options.name + " says: " + *last} : said.error();
  }
  auto line = x_child.hear(static_cast<int>(millis) + kChildAnswerMs);
  if (!line) return line.error();
  if (line->starts_with(kSlice)) {
    auto slice = report::Slice::from_line(std::string_view(*line).substr(kSlice.size()));
    if (slice) return *std::move(slice);
  }
  return Error{Outcome::internal, x_options.name + " says: " + *line};
}

}  // namespace tarn::load
