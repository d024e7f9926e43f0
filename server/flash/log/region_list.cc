#include "server/flash/log/region_list.h"

#include <memory>
#include <utility>

namespace tarn::flash {
namespace {

// One look at a region; keeps itself until its end.
class Listing : public std::enable_shared_from_this<Listing> {
 public:
  Listing(RegionLog& log, uint32_t region, Listed done)
      : x_log(log), x_stamp(log.stamp_of(region)), x_done(std::move(done)) {}

  void begin() {
    read(kRegionBytes - kPageBytes, kPageBytes, [self = shared_from_this()](Status read) {
      if (read.is_ok()) return self->on_last_page();
      self->scan(kPageBytes);
    });
  }

 private:
  using Read = std::function<void(Status)>;

  void read(uint64_t offset, uint64_t bytes, Read then) {
    const auto buffer = std::make_shared<io::PageBuffer>(bytes);
    x_page = buffer;
    const LogPlace place = {x_stamp.region, x_stamp.epoch, offset, 0};
    // The memory stays until the drive has done with it, which may be after the end of this.
    const Status taken = x_log.read(
        place, buffer->bytes(), [buffer] {}, then);
    if (!taken.is_ok()) then(taken);
  }

  std::span<const std::byte> page() const { return std::as_const(*x_page).bytes(); }

  void on_last_page() {
    const auto bytes = decode_footer_bytes(x_stamp, page());
    if (!bytes) return scan(kPageBytes);
    if (*bytes == kPageBytes) return on_footer();
    read(kRegionBytes - *bytes, *bytes, [self = shared_from_this()](Status read) {
      if (read.is_ok()) return self->on_footer();
      self->scan(kPageBytes);
    });
  }

  void on_footer() {
    auto entries = decode_footer(x_stamp, page());
    if (!entries) return scan(kPageBytes);
    x_done(std::move(*entries));
  }

  void scan(uint64_t at) {
    if (at + kPageBytes >= kRegionBytes) return x_done(std::move(x_entries));
    read(at, kPageBytes,
         [self = shared_from_this(), at](Status read) { self->on_group(at, std::move(read)); });
  }

  void on_group(uint64_t at, Status read) {
    // A drive that hangs, or has too much to do, has the rest still.
    const bool is_in_part = read.code() == Code::not_found || read.code() == Code::overloaded ||
                            read.code() == Code::deadline_exceeded;
    if (!read.is_ok() && (x_entries.empty() || is_in_part)) return x_done(std::move(read));
    const auto group = read.is_ok() ? decode_group(x_stamp, at, page()) : Result<Group>(read);
    if (!group) return x_done(std::move(x_entries));
    x_entries.insert(x_entries.end(), group->entries.begin(), group->entries.end());
    scan(group->end);
  }

  RegionLog& x_log;
  const RegionStamp x_stamp;
  const Listed x_done;
  std::shared_ptr<io::PageBuffer> x_page;
  std::vector<Entry> x_entries;
};

}  // namespace

void list_region(RegionLog& log, uint32_t region, Listed done) {
  std::make_shared<Listing>(log, region, std::move(done))->begin();
}

}  // namespace tarn::flash
