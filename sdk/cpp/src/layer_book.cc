#include "sdk/cpp/src/layer_book.h"

#include <utility>

#include "common/base/check.h"

namespace tarn::sdk {

LayerBook::LayerBook(std::vector<uint32_t> ends, size_t blocks)
    : x_ends(std::move(ends)),
      x_blocks(blocks),
      x_crcs(blocks * x_ends.size()),
      x_left(x_ends.size(), blocks) {
  TARN_CHECK(!x_ends.empty());
  x_join.reserve(x_ends.size());
  for (size_t layer = 0; layer < x_ends.size(); ++layer)
    x_join.emplace_back(bytes_of(layer));
}

void LayerBook::set_memory(uint32_t block, std::vector<fabric::MutableBytes> into) {
  TARN_CHECK(block < x_blocks.size());
  x_blocks[block].into = std::move(into);
}

// Half of what may be, so that pieces are asked for by many and not one by one.
bool LayerBook::has_room() const {
  return x_pieces <= kPiecesMost / 2 && x_bytes <= kPieceBytesMost / 2;
}

bool LayerBook::is_full() const {
  return x_pieces >= kPiecesMost || x_bytes >= kPieceBytesMost;
}

void LayerBook::begin_piece(uint32_t block, uint64_t bytes) {
  TARN_CHECK(block < x_blocks.size());
  ++x_blocks[block].in_flight;
  ++x_pieces;
  x_bytes += bytes;
}

void LayerBook::end_piece(uint32_t block, uint64_t bytes) {
  TARN_CHECK(x_blocks[block].in_flight > 0 && x_pieces > 0 && x_bytes >= bytes);
  --x_blocks[block].in_flight;
  --x_pieces;
  x_bytes -= bytes;
}

const std::vector<fabric::MutableBytes>* LayerBook::take_whole(uint32_t block) {
  Block& taken = x_blocks[block];
  if (taken.landed > 0 || taken.in_flight > 0) return nullptr;
  taken.is_whole = true;
  return &taken.into;
}

Code LayerBook::land(const Landed& piece) {
  Block& block = x_blocks[piece.block];
  TARN_CHECK(!block.is_whole && piece.layer < layers() && block.landed < layers());
  if (piece.block_bytes != block_bytes()) return Code::invalid_argument;
  if (block.landed == 0) block.crc = piece.block_crc;
  if (piece.block_crc != block.crc) return Code::not_found;
  x_crcs[piece.block * layers() + piece.layer] = piece.crc;
  ++block.landed;
  if (block.landed < layers()) return Code::ok;
  return joined_crc(piece.block) == block.crc ? Code::ok : Code::corrupt;
}

uint32_t LayerBook::joined_crc(uint32_t block) const {
  uint32_t crc = 0;
  for (size_t layer = 0; layer < layers(); ++layer)
    crc = x_join[layer](crc, x_crcs[block * layers() + layer]);
  return crc;
}

bool LayerBook::settle(uint32_t block, size_t layer, Code code) {
  Block& settled = x_blocks[block];
  TARN_CHECK(layer <= layers() && settled.settled < layers());
  if (code != Code::ok) {
    if (settled.failure != Code::ok) return false;
    settled.failure = code;
    return true;
  }
  const bool is_whole = layer == layers();
  TARN_CHECK(is_whole == settled.is_whole);
  settled.settled += is_whole ? static_cast<uint32_t>(layers()) : 1;
  for (size_t each = is_whole ? 0 : layer; each < (is_whole ? layers() : layer + 1); ++each)
    count(each);
  return settled.settled == layers() && settled.failure == Code::ok;
}

void LayerBook::count(size_t layer) {
  TARN_CHECK(x_left[layer] > 0);
  --x_left[layer];
  while (x_ready < layers() && x_left[x_ready] == 0)
    ++x_ready;
}

}  // namespace tarn::sdk
