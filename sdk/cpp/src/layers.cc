// Layer-wise gets: blocks cut into one piece a layer, and told layer by layer.
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "sdk/cpp/src/flight.h"

namespace tarn::sdk {
namespace {

// Takes runs of bytes off a scatter list, from its front on.
class PartCursor {
 public:
  explicit PartCursor(const std::vector<fabric::MutableBytes>& parts) : x_parts(parts) {}

  std::vector<fabric::MutableBytes> take(uint64_t bytes) {
    std::vector<fabric::MutableBytes> taken;
    while (bytes > 0) {
      TARN_CHECK(x_part < x_parts.size());
      const fabric::MutableBytes rest = x_parts[x_part].subspan(x_used);
      if (rest.size() <= bytes) {
        if (!rest.empty()) taken.push_back(rest);
        bytes -= rest.size();
        ++x_part;
        x_used = 0;
      } else {
        taken.push_back(rest.first(bytes));
        x_used += bytes;
        bytes = 0;
      }
    }
    return taken;
  }

 private:
  const std::vector<fabric::MutableBytes>& x_parts;
  size_t x_part = 0;
  size_t x_used = 0;
};

}  // namespace

void Flight::cut_into_layers(std::vector<uint32_t> ends, size_t blocks_of_call) {
  TARN_CHECK(!x_has_begun && kind() == Kind::get);
  x_layers = std::make_unique<LayerBook>(std::move(ends), blocks_of_call);
  std::vector<FlightItem> blocks = std::exchange(x_items, {});
  x_items.resize(blocks.size() * x_layers->layers());
  for (size_t i = 0; i < blocks.size(); ++i) {
    TARN_CHECK(blocks[i].bytes == x_layers->block_bytes());
    std::vector<fabric::MutableBytes> into = std::move(blocks[i].into);
    blocks[i].into.clear();
    PartCursor cursor(into);
    for (size_t layer = 0; layer < x_layers->layers(); ++layer) {
      FlightItem& piece = x_items[layer * blocks.size() + i];
      piece = blocks[i];
      piece.is_piece = true;
      piece.layer = static_cast<uint16_t>(layer);
      piece.bytes = x_layers->bytes_of(layer);
      piece.into = cursor.take(piece.bytes);
    }
    x_layers->set_memory(blocks[i].index, std::move(into));
  }
}

size_t Flight::block_count() const {
  return x_layers == nullptr ? x_items.size() : x_items.size() / x_layers->layers();
}

// A server that knows no pieces sends the whole block, whose layers are all told at its end.
bool Flight::suits(const Peer& peer, FlightItem& item) {
  if (!item.is_piece || peer.wireup.pieces) return true;
  const auto* const memory = x_layers->take_whole(item.index);
  if (memory == nullptr) return false;
  item.is_piece = false;
  item.into = *memory;
  item.bytes = x_layers->block_bytes();
  return true;
}

void Flight::on_piece(uint32_t index, const fabric::GetTarget& got) {
  const FlightItem& item = x_items[index];
  const Code code =
      x_layers->land({item.index, item.layer, got.payload_crc, got.block_bytes, got.block_crc});
  if (code == Code::ok) return settle(index, Code::ok);
  if (code == Code::invalid_argument) outcome_of(item).bytes = got.block_bytes;
  if (code != Code::corrupt) return on_read_failure(index, code);
  log::warn("a block from {} is corrupt: its pieces are right one by one, and not together",
            outcome_of(item).server);
  // Earlier pieces may be in use: nothing is written over them.
  settle(index, Code::corrupt, "the layers have not the checksum of the block that was put");
}

// False where the block's outcome is not to be written now.
bool Flight::settle_piece(const FlightItem& item, Code code) {
  // It came with the whole block, which speaks for all of it.
  if (item.is_piece && x_layers->is_whole(item.index)) return false;
  const size_t layer = item.is_piece ? item.layer : x_layers->layers();
  const bool is_last_word = x_layers->settle(item.index, layer, code);
  if (is_last_word && code == Code::ok) outcome_of(item).bytes = x_layers->block_bytes();
  state().tell_layers(x_layers->ready());
  return is_last_word;
}

}  // namespace tarn::sdk
