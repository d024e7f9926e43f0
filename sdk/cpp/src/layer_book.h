#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/status.h"
#include "common/base/units.h"
#include "common/block/crc_combine.h"
#include "common/fabric/fabric.h"

namespace tarn::sdk {

// Layers that a call may name, and pieces (blocks times layers) of one call.
inline constexpr size_t kLayersMax = 1024;
inline constexpr size_t kCallPiecesMax = size_t{1} << 18;
// Pieces of one get in flight; more wait, so that layers arrive in their order.
inline constexpr size_t kPiecesMost = 320;
inline constexpr uint64_t kPieceBytesMost = 64 * kMiB;

// How far a layer-wise get has come: each block of the call travels in as many pieces as there are
// layers. A piece counts when its own checksum was right; the last one of a block only when all
// together have the putter's checksum as well, so that the last layer is told of no wrong byte.
// One-thread ("tarn-io", before that its caller's).
class LayerBook {
 public:
  // `ends`: of the layers within a block, rising. `blocks`: of the call, refused ones included,
  // whose layers never land.
  LayerBook(std::vector<uint32_t> ends, size_t blocks);

  size_t layers() const { return x_ends.size(); }
  uint32_t block_bytes() const { return x_ends.back(); }
  uint32_t offset_of(size_t layer) const { return layer == 0 ? 0 : x_ends[layer - 1]; }
  uint32_t bytes_of(size_t layer) const { return x_ends[layer] - offset_of(layer); }

  // The memory of a whole block, for a server that knows no pieces.
  void set_memory(uint32_t block, std::vector<fabric::MutableBytes> into);

  // May more pieces begin now, after a pause? And are there as many as may be?
  bool has_room() const;
  bool is_full() const;
  void begin_piece(uint32_t block, uint64_t bytes);
  void end_piece(uint32_t block, uint64_t bytes);

  // From now on the block comes as a whole, into the memory that is returned. Null where some of it
  // has come in pieces already, or is on its way: what was told must not be written again.
  const std::vector<fabric::MutableBytes>* take_whole(uint32_t block);
  bool is_whole(uint32_t block) const { return x_blocks[block].is_whole; }

  struct Landed {
    uint32_t block = 0;
    uint32_t layer = 0;
    uint32_t crc = 0;  // of the piece
    uint32_t block_bytes = 0;
    uint32_t block_crc = 0;
  };
  // A piece is in its memory. Returns: ok: it counts, see settle(); not_found: it is of another put
  // than the pieces before it; invalid_argument: the block has another size; corrupt: it was the
  // block's last piece, and together they have not the block's checksum.
  Code land(const Landed& piece);

  // The outcome of a piece, or with `layer` == layers() of a block that came whole. True when it is
  // what the block's outcome is to be: its first failure, or the last success.
  bool settle(uint32_t block, size_t layer, Code code);
  // Why the block failed; ok while it has not.
  Code failure(uint32_t block) const { return x_blocks[block].failure; }

  // So many layers, from the first on, have landed in all blocks.
  uint32_t ready() const { return x_ready; }

 private:
  struct Block {
    bool is_whole = false;
    Code failure = Code::ok;
    uint32_t crc = 0;        // once a piece has landed
    uint32_t landed = 0;     // pieces
    uint32_t settled = 0;    // with ok
    uint32_t in_flight = 0;  // pieces
    std::vector<fabric::MutableBytes> into;
  };

  uint32_t joined_crc(uint32_t block) const;
  void count(size_t layer);

  const std::vector<uint32_t> x_ends;
  std::vector<Block> x_blocks;
  std::vector<uint32_t> x_crcs;        // of the pieces, block by block
  std::vector<block::CrcJoin> x_join;  // for the size of each layer
  std::vector<size_t> x_left;          // blocks whose piece of the layer has not landed
  uint32_t x_ready = 0;
  size_t x_pieces = 0;  // in flight
  uint64_t x_bytes = 0;
};

}  // namespace tarn::sdk
