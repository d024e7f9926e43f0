#include "sdk/cpp/src/view.h"

#include <memory>
#include <new>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/block/checksum.h"
#include "sdk/cpp/src/core.h"

namespace tarn::sdk {
namespace {

// As payloads lie on the servers.
constexpr std::align_val_t kAlignment{4096};

}  // namespace

bool ViewKeeper::take_place() {
  if (x_count.fetch_add(1, std::memory_order_relaxed) < kViewsMax) return true;
  x_count.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void ViewKeeper::end(std::function<void()> release) {
  // A forked child has neither the thread nor the pins: not even the end of what it would call may
  // run there, which might tell the server.
  if (x_fork.is_child()) {
    (void)std::make_unique<std::function<void()>>(std::move(release)).release();
    return;
  }
  const size_t before = x_count.fetch_sub(1, std::memory_order_relaxed);
  TARN_CHECK(before > 0);
  if (release) x_give_back(std::move(release));
}

std::shared_ptr<ViewPin> ViewPin::open(ViewKeeper& keeper) {
  if (!keeper.take_place()) return nullptr;
  return std::shared_ptr<ViewPin>(new ViewPin(keeper));
}

ViewPin::~ViewPin() {
  x_keeper.end(std::move(x_release));
}

void ViewPin::Free::operator()(std::byte* memory) const {
  ::operator delete(memory, kAlignment);
}

std::span<const fabric::MutableBytes> ViewPin::make_room(uint64_t bytes) {
  TARN_CHECK(x_bytes.empty());
  const bool fails = TARN_FAULT_POINT("sdk.view_room");
  x_memory.reset(fails ? nullptr
                       : static_cast<std::byte*>(::operator new(bytes, kAlignment, std::nothrow)));
  x_room = {x_memory.get(), x_memory == nullptr ? 0 : bytes};
  return {&x_room, x_room.empty() ? size_t{0} : size_t{1}};
}

void ViewPin::settle(fabric::GetTarget& got) {
  TARN_CHECK(got.code == Code::ok && x_bytes.empty());
  x_payload_crc = got.payload_crc;
  if (got.view.release) {
    x_memory.reset();
    x_bytes = got.view.bytes;
    x_release = std::exchange(got.view.release, nullptr);
  } else {
    TARN_CHECK(x_room.size() == got.bytes);
    x_bytes = x_room;
  }
}

bool ViewPin::is_intact() const {
  return block::crc32c(0, x_bytes.data(), x_bytes.size()) == x_payload_crc;
}

}  // namespace tarn::sdk

namespace tarn {

View::View(std::shared_ptr<Impl> impl) : x_impl(std::move(impl)) {}

std::span<const std::byte> View::bytes() const {
  return x_impl == nullptr ? std::span<const std::byte>() : x_impl->pin->bytes();
}

bool View::is_mapped() const {
  return x_impl != nullptr && x_impl->pin->is_mapped();
}

Expected<Done> View::verify() const {
  if (x_impl == nullptr) return Error{Outcome::miss, "the view is of no block, or released"};
  if (x_impl->pin->is_intact()) return Done{};
  return Error{Outcome::corrupt, "the bytes have another checksum than they were put with"};
}

void View::release() {
  x_impl.reset();
}

}  // namespace tarn
