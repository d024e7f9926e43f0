#include "server/flash/log/removal_notes.h"

#include <poll.h>

#include <algorithm>
#include <optional>

#include "common/base/check.h"
#include "common/base/little_endian.h"
#include "common/base/log.h"

namespace tarn::flash {
namespace {

constexpr uint32_t kNotesMagic = 0x4e4e5254;  // "TRNN" in memory

// No region has this number: what is sealed for it is a page of notes.
RegionStamp stamp_of_notes(const io::DriveId& drive) {
  return {drive, UINT32_MAX, 1};
}

}  // namespace

// The label is the first page of each half of its area.
uint64_t RemovalNotes::offset_of(size_t page) {
  constexpr size_t kPagesOfHalf = kPages / 2;
  const size_t half = page / kPagesOfHalf;
  return half * io::kLabelCopyOffset + (1 + page % kPagesOfHalf) * kPageBytes;
}

// 0 magic | 4 notes u32 | 8 notes: epoch u64, region u32, page u32
void RemovalNotes::encode(size_t page, Page into) const {
  std::ranges::fill(into, std::byte{0});
  store_le(into.data(), kNotesMagic);
  store_le(into.data() + 4, static_cast<uint32_t>(x_pages[page].notes.size()));
  std::byte* at = into.data() + kHeadBytes;
  for (const RemovalNote& note : x_pages[page].notes) {
    store_le(at, note.epoch);
    store_le(at + 8, note.region);
    store_le(at + 12, note.page);
    at += kNoteBytes;
  }
  seal_page(stamp_of_notes(x_options.drive), offset_of(page), into);
}

void RemovalNotes::decode(size_t page, std::span<const std::byte> bytes) {
  const RegionStamp stamp = stamp_of_notes(x_options.drive);
  if (!check_page(stamp, offset_of(page), bytes, kNotesMagic).is_ok()) return;
  const auto count = load_le<uint32_t>(bytes.data() + 4);
  for (size_t i = 0; i < std::min<size_t>(count, kNotesOfPage); ++i) {
    const std::byte* const at = bytes.data() + kHeadBytes + i * kNoteBytes;
    const RemovalNote note = {load_le<uint64_t>(at), load_le<uint32_t>(at + 8),
                              load_le<uint32_t>(at + 12)};
    x_pages[page].notes.push_back(note);
    x_known.insert(note);
  }
}

Status RemovalNotes::recover() {
  io::BlockDevice& device = *x_options.device;
  static constexpr uint64_t kHalfBytes = io::kLabelAreaBytes / 2;
  struct Half {
    std::shared_ptr<io::PageBuffer> bytes = std::make_shared<io::PageBuffer>(kHalfBytes);
    Status outcome;
  };
  std::array<Half, 2> halves;
  size_t reads_left = halves.size();
  const Instant deadline = x_options.clock->now() + x_options.deadline;
  for (size_t i = 0; i < halves.size(); ++i) {
    const auto ended = [&, i](Status status) {
      halves[i].outcome = std::move(status);
      --reads_left;
    };
    // A late drive has the memory for longer than this call.
    const Status taken =
        device.read(i * io::kLabelCopyOffset, halves[i].bytes->bytes(),
                    {io::IoQueue::read, deadline, [hold = halves[i].bytes] {}}, ended);
    if (!taken.is_ok()) ended(taken);
  }
  while (reads_left > 0) {
    if (device.poll() > 0) continue;
    pollfd ready = {device.event_fd(), POLLIN, 0};
    ::poll(&ready, 1, 100);
  }
  for (const Half& half : halves)
    if (half.outcome.code() == Code::deadline_exceeded)
      return unavailable("flash: the drive does not answer");
  for (size_t page = 0; page < kPages; ++page) {
    const size_t half = page / (kPages / 2);
    if (!halves[half].outcome.is_ok()) continue;
    const uint64_t at = offset_of(page) - half * io::kLabelCopyOffset;
    decode(page, std::as_const(*halves[half].bytes).bytes().subspan(at, kPageBytes));
  }
  return Status::ok();
}

// What later lives of regions have made void goes.
bool RemovalNotes::make_room(NotePage& page) {
  if (page.notes.size() < kNotesOfPage) return true;
  std::erase_if(page.notes, [this](const RemovalNote& note) {
    if (x_options.epoch_of(note.region) <= note.epoch) return false;
    x_known.erase(note);
    return true;
  });
  return page.notes.size() < kNotesOfPage;
}

bool RemovalNotes::add(const RemovalNote& note) {
  if (x_is_broken || !x_known.insert(note).second) return !x_is_broken;
  x_is_resting = false;
  for (size_t tried = 0; tried < kPages; ++tried) {
    NotePage& page = x_pages[x_next];
    if (make_room(page)) {
      page.notes.push_back(note);
      if (!std::exchange(page.is_dirty, true)) x_dirty.push_back(x_next);
      return true;
    }
    x_next = (x_next + 1) % kPages;
  }
  x_known.erase(note);
  return false;
}

size_t RemovalNotes::turn() {
  if (x_is_writing || x_is_broken || x_is_resting || x_dirty.empty()) return 0;
  const size_t page = x_dirty.back();
  x_dirty.pop_back();
  x_pages[page].is_dirty = false;
  write(page);
  return 1;
}

void RemovalNotes::write(size_t page) {
  x_is_writing = true;
  const auto bytes = std::make_shared<io::PageBuffer>(kPageBytes);
  encode(page, Page(bytes->bytes()));
  const auto options = [this](std::shared_ptr<io::PageBuffer> hold) {
    return io::IoOptions{io::IoQueue::destage, x_options.clock->now() + x_options.deadline,
                         [hold = std::move(hold)] {}};
  };
  const auto ended = [this, page](const Status& outcome) { on_written(page, outcome); };
  const Status taken = x_options.device->write(
      offset_of(page), bytes->bytes(), options(bytes), [this, options, ended](Status written) {
        if (written.is_ok()) written = x_options.device->flush(options(nullptr), ended);
        if (!written.is_ok()) ended(written);
      });
  if (!taken.is_ok()) ended(taken);
}

void RemovalNotes::on_written(size_t page, const Status& outcome) {
  x_is_writing = false;
  if (outcome.is_ok()) return;
  log::warn("removals of blocks are not noted: {}", outcome.to_string());
  x_is_broken = !x_options.device->health().writable.is_ok();
  // What fails at once would fail again, at once: it waits for the next one.
  x_is_resting = true;
  if (!std::exchange(x_pages[page].is_dirty, true)) x_dirty.push_back(page);
}

}  // namespace tarn::flash
