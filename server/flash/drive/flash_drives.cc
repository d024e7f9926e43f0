#include "server/flash/drive/flash_drives.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"

namespace tarn::flash {
namespace {

// Of free regions, a difference that is none.
constexpr double kRoomAlike = 0.01;

FlashDriveOptions drive_options(const FlashDrivesOptions& options, size_t number,
                                FlashIndex& index) {
  io::DeviceOptions device;
  device.drive.path = options.paths[number];
  device.drive.capacity_bytes = options.bytes;
  device.drive.region_bytes = kRegionBytes;
  device.drive.content_format = kContentFormat;
  device.engine = options.engine;
  device.clock = options.clock;
  FlashDriveOptions made;
  made.open = [open = options.open_device, device] { return open(device); };
  made.number = static_cast<uint8_t>(number);
  made.index = &index;
  made.registry = options.registry;
  made.is_wanted = options.is_wanted;
  made.on_dropped = options.on_dropped;
  made.below = options.below;
  made.deadline = options.deadline;
  made.clock = options.clock;
  return made;
}

}  // namespace

Result<std::unique_ptr<FlashDrives>> FlashDrives::open(const FlashDrivesOptions& options) {
  if (options.paths.size() > FlashIndex::kDrivesMax)
    return invalid_argument("flash_paths: " + std::to_string(FlashIndex::kDrivesMax) +
                            " drives at most");
  auto drives = std::unique_ptr<FlashDrives>(new FlashDrives());
  for (size_t number = 0; number < options.paths.size(); ++number) {
    auto drive = FlashDrive::open(drive_options(options, number, drives->x_index));
    const bool is_broken = !drive && drive.error().code() == Code::unavailable;
    if (!drive && !is_broken)
      return Status(drive.error().code(),
                    "flash_paths: " + options.paths[number] + ": " + drive.error().message());
    if (is_broken) {
      log::error("the drive {} is left out: {}", options.paths[number], drive.error().message());
      // What it had told before it stopped.
      (void)drives->x_index.erase_drive(static_cast<uint8_t>(number));
      drives->x_drives.push_back(nullptr);
      continue;
    }
    log::info("flash: {}", (*drive)->description());
    drives->x_drives.push_back(std::move(*drive));
  }
  AdmissionOptions admission;
  admission.mode = options.admission;
  admission.capacity_bytes = drives->capacity_bytes();
  admission.writes_per_day = options.writes_per_day;
  admission.registry = options.registry;
  admission.clock = options.clock;
  drives->x_admission = std::make_unique<Admission>(admission);
  return drives;
}

Status FlashDrives::write(DriveWrite write) {
  FlashDrive* best = nullptr;
  double best_room = -1;
  // Drives with as much room take turns.
  const size_t first = x_next.fetch_add(1, std::memory_order_relaxed);
  for (size_t i = 0; i < x_drives.size(); ++i) {
    FlashDrive* const drive = x_drives[(first + i) % x_drives.size()].get();
    if (drive == nullptr) continue;
    const DriveStats stats = drive->stats();
    const double room =
        static_cast<double>(stats.regions_free) / static_cast<double>(std::max(1u, stats.regions));
    const bool hangs = stats.late > 0;
    if (!stats.is_writable || hangs || room <= best_room + kRoomAlike) continue;
    best = drive;
    best_room = room;
  }
  if (best == nullptr) return unavailable("flash: no drive can be written");
  return best->write(std::move(write));
}

FlashDrive* FlashDrives::drive_of(const FlashPlace& place) const {
  return place.drive < x_drives.size() ? x_drives[place.drive].get() : nullptr;
}

Status FlashDrives::read(DriveRead read) {
  FlashDrive* const drive = drive_of(read.place);
  if (drive == nullptr) return unavailable("flash: the drive is left out");
  return drive->read(std::move(read));
}

Status FlashDrives::remove(DriveRead removal) {
  FlashDrive* const drive = drive_of(removal.place);
  if (drive == nullptr) return unavailable("flash: the drive is left out");
  return drive->remove(std::move(removal));
}

Status FlashDrives::list(const std::function<bool(const block::BlockHeader&)>& visit) {
  bool goes_on = true;
  for (const auto& drive : x_drives) {
    if (drive == nullptr || !goes_on) continue;
    TARN_RETURN_IF_ERROR(drive->list([&](const block::BlockHeader& header) {
      goes_on = visit(header);
      return goes_on;
    }));
  }
  return Status::ok();
}

std::vector<DriveStats> FlashDrives::stats() const {
  std::vector<DriveStats> all;
  for (const auto& drive : x_drives)
    if (drive != nullptr) all.push_back(drive->stats());
  return all;
}

uint64_t FlashDrives::capacity_bytes() const {
  uint64_t bytes = 0;
  for (const DriveStats& each : stats())
    bytes += each.capacity_bytes;
  return bytes;
}

void FlashDrives::close() {
  for (const auto& drive : x_drives)
    if (drive != nullptr) drive->close();
}

}  // namespace tarn::flash
