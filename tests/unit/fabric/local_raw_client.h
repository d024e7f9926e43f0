#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "common/fabric/local_core.h"

namespace tarn::fabric {

// The client's side of the protocol by hand.
class RawClient {
 public:
  RawClient(const LocalFolder& folder, const std::string& server)
      : x_socket(LocalSocket::connect(folder, local_name_in(server).value()).value()) {}

  LocalSocket& socket() { return x_socket; }

  void hello(const std::string& address, uint64_t lowest = 1, uint64_t highest = kLocalVersion) {
    LocalNote note;
    note.type = LocalNote::Type::hello;
    note.a = lowest;
    note.b = highest;
    std::copy(address.begin(), address.end(), note.text.begin());
    (void)x_socket.send(note);
  }

  // True when the server has welcomed it.
  bool take_welcome() {
    LocalNote note;
    int passed = -1;
    if (!x_socket.receive(note, passed).is_ok() || passed < 0) return false;
    x_area = LocalArea::map(passed).value();
    return true;
  }

  bool is_closed() {
    LocalNote note;
    int passed = -1;
    Code code = Code::ok;
    while ((code = x_socket.receive(note, passed).code()) == Code::ok) {
    }
    return code == Code::unavailable;
  }

  LocalWords& requests() { return *x_area->to_server().words; }
  LocalWords& answers() { return *x_area->to_client().words; }

  // Writes the record where the server reads next, whatever it says.
  void write(const LocalRecord& record, uint64_t cells = 1) {
    std::memcpy(x_area->to_server().cells + x_tail % kLocalCells * kLocalCellBytes, &record,
                sizeof(record));
    x_tail += cells;
    requests().tail.store(x_tail);
  }
  // Records that look like ones, with small wrong numbers.
  void scribble_plausibly(std::mt19937_64& random) {
    for (uint64_t cell = 0; cell < kLocalCells; ++cell) {
      LocalRecord record;
      record.type = static_cast<LocalRecord::Type>(1 + random() % 5);
      record.source = static_cast<LocalRecord::Source>(random() % 3);
      record.header_bytes = static_cast<uint16_t>(random() % 3 * 50);
      record.id = static_cast<uint32_t>(random() % 600);
      record.payload_bytes = random() % 2 * (random() % 5000);
      record.region = random() % 2;
      record.offset = random() % 5000;
      record.length = random() % 3000;
      std::memcpy(x_area->to_server().cells + cell * kLocalCellBytes, &record, sizeof(record));
    }
  }
  void scribble(std::mt19937_64& random) {
    std::byte* const cells = x_area->to_server().cells;
    for (size_t i = 0; i < kLocalCells * kLocalCellBytes; i += 8) {
      const uint64_t word = random();
      std::memcpy(cells + i, &word, sizeof(word));
    }
  }

  void pass(int fd, uint64_t id, uint64_t bytes) {
    LocalNote note;
    note.type = LocalNote::Type::region;
    note.a = id;
    note.b = bytes;
    (void)x_socket.send(note, fd);
  }

 private:
  LocalSocket x_socket;
  std::shared_ptr<LocalArea> x_area;
  uint64_t x_tail = 0;
};

}  // namespace tarn::fabric
