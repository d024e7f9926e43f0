#pragma once

// How a client, and each of its calls, is to work. Part of tarn/tarn.h.

#include <cstdint>
#include <string>
#include <vector>

namespace tarn {

// How bytes may travel to storage servers; `automatic` takes the best that both sides have. What
// cannot be had falls back to grpc.
// `local` is shared memory of one host, by a folder that both sides see (docs/LOCAL.md).
enum class Transport : uint8_t { automatic, tcp, shm, grpc, local };

struct ClientOptions {
  // HOST:PORT of the routers, separated by commas. Empty: TARN_ENDPOINT, else the folder's.
  std::string endpoint;
  // A folder with ca.pem, endpoint and a token or certificate, as `tarn dev` and `tarn token
  // create` write it. Empty: TARN_CREDENTIALS, else that of `tarn dev` (~/.tarn/dev).
  std::string credentials;
  // Overrides the folder's token.
  std::string token;
  Transport transport = Transport::automatic;
  // Deadline of calls that name none.
  uint32_t timeout_ms = 10'000;
  // How long the SDK's thread looks for work before it sleeps; 0 saves the most CPU.
  uint32_t spin_us = 50;
  // Never sleeps while transfers are under way: for processors that nothing else uses. Threads of
  // the SDK may run where the one that calls connect() may.
  bool polling = false;
  // Payload memory that may be in flight at once; more waits its turn.
  uint64_t in_flight_bytes_max = uint64_t{256} << 20;
  // Of the blocks of gets, how many may be asked of a second server, too, when the first is slower
  // than 95 in 100 of this client's last gets of that size. 0: none; at most 1.
  double hedge_fraction = 0.05;
};

// What a copy has to be on to count: the memory of a server, or a drive, where it is kept when the
// server ends.
enum class Medium : uint8_t { memory, flash };

struct CallOptions {
  uint32_t timeout_ms = 0;  // 0: ClientOptions::timeout_ms
  // In distinct failure domains, to acknowledge a put: 1 is class `memory` or `flash`, more
  // `replicated`.
  uint32_t copies = 1;
  Medium medium = Medium::memory;  // of each of them; unsupported by servers without a drive
  // Accept fewer where domains are too few, or memory where flash cannot be had; kept_less says so.
  bool allow_less = false;
  // get_kv: where each layer ends within a block, in bytes, the last at the block's size: the
  // Transfer tells of each layer as it has landed in all blocks, in order. At most 1,024.
  std::vector<uint32_t> layer_ends = {};
};

}  // namespace tarn
