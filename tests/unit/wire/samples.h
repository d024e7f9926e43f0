#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/base/units.h"
#include "common/wire/decode.h"
#include "common/wire/encode.h"
#include "common/wire/seal.h"

// One valid message of every type, and larger ones; the seeds of the fuzzer and of the mutations.
namespace tarn::wire::samples {

inline constexpr Route kRoute{0x1122334455667788, first_sequence(3) + 41};

inline block::BlockHash hash_of(size_t size, uint8_t seed) {
  std::string bytes;
  for (size_t i = 0; i < size; ++i)
    bytes.push_back(static_cast<char>(seed + i));
  return block::BlockHash::from(bytes).value();
}

inline RequestHead head() {
  RequestHead head{Epoch{7}, 250'000, {}, false, {}};
  head.space.bytes.fill(0x5a);
  return head;
}

inline GetRequest get_request(size_t items) {
  GetRequest message{head(), {}};
  for (size_t i = 0; i < items; ++i) {
    message.items.push_back(
        {Shard{static_cast<uint32_t>(i % 8)}, 2 * kMiB, hash_of(32, static_cast<uint8_t>(i))});
  }
  return message;
}

inline GetRequest pieces_request(size_t items) {
  GetRequest message = get_request(items);
  message.pieces = true;
  for (size_t i = 0; i < items; ++i)
    message.items[i].offset = static_cast<uint32_t>(i * 65536);
  return message;
}

inline BoundedList<BlockItem, kItemsMax> block_items(size_t count) {
  BoundedList<BlockItem, kItemsMax> items;
  for (size_t i = 0; i < count; ++i)
    items.push_back({Shard{1}, hash_of(1 + i % 32, static_cast<uint8_t>(i))});
  return items;
}

inline PutRequest put_request() {
  PutRequest message;
  message.head = head();
  message.shard = Shard{2};
  message.hash = hash_of(32, 1);
  message.anchor = hash_of(32, 2);
  message.parent = hash_of(32, 3);
  message.index = 4;
  message.extent_blocks = 32;
  message.copies = 2;
  message.payload_bytes = 1 * kMiB;
  message.payload_crc = 0xdeadbeef;
  return message;
}

inline PutRequest backup_request() {
  PutRequest message = put_request();
  message.backup = true;
  message.allow_less = true;
  message.kind = block::SpaceKind::flat;
  message.parent = {};
  message.head.for_tenant = true;
  message.head.tenant.bytes.fill(9);
  return message;
}

inline BoundedList<Code, kItemsMax> codes(size_t count) {
  BoundedList<Code, kItemsMax> list;
  for (size_t i = 0; i < count; ++i)
    list.push_back(static_cast<Code>(i % kCodeCount));
  return list;
}

inline std::vector<std::pair<std::string, Request>> requests() {
  RemoveRequest removal{head(), true, block_items(2)};
  removal.head.for_tenant = true;
  removal.head.tenant.bytes.fill(1);
  return {{"ping", Ping{Epoch{1}}},
          {"cancel", Cancel{first_sequence(3) + 40}},
          {"get_request", get_request(3)},
          {"get_request_max", get_request(kItemsMax)},
          {"pieces_request", pieces_request(3)},
          {"pieces_request_max", pieces_request(kItemsMax)},
          {"put_request", put_request()},
          {"put_backup", backup_request()},
          {"exists_request", ExistsRequest{head(), block_items(3)}},
          {"exists_request_max", ExistsRequest{head(), block_items(kItemsMax)}},
          {"remove_request", removal}};
}

inline std::vector<std::pair<std::string, Reply>> replies() {
  return {{"pong", Pong{Epoch{2}}},
          {"get_reply", GetReply{Epoch{7}, 2, 1, Code::ok, Generation{12}, 1 * kMiB, 77}},
          {"get_misses", GetReply{Epoch{7}, 0, 160, Code::not_found, {}, 0, 0}},
          {"piece_reply",
           GetReply{Epoch{7}, 2, 1, Code::ok, Generation{12}, 65536, 77, true, 2 * kMiB, 78}},
          {"put_reply", PutReply{Epoch{7}, Code::kept_less, 1, make_text("one domain is down")}},
          {"exists_reply", ExistsReply{Epoch{7}, codes(20)}},
          {"remove_reply", RemoveReply{Epoch{7}, codes(3)}},
          {"error_reply", ErrorReply{Epoch{8}, Code::stale_epoch, make_text("epoch 7 is over")}}};
}

template <typename Variant>
HeaderBuffer encode_any(const Variant& message) {
  HeaderBuffer header;
  std::visit([&](const auto& m) { encode(kRoute, m, header); }, message);
  return header;
}

inline auth::RequestMac mac(char key = 'k') {
  return std::move(auth::RequestMac::open(std::string(32, key), {Incarnation{5}, {1, 2, 3}}))
      .value();
}

inline std::vector<std::pair<std::string, HeaderBuffer>> signed_headers() {
  std::vector<std::pair<std::string, HeaderBuffer>> all;
  auth::RequestMac key = mac();
  for (const auto& [name, message] : requests())
    all.emplace_back(name, encode_any(message));
  for (const auto& [name, message] : replies())
    all.emplace_back(name, encode_any(message));
  for (auto& [name, header] : all)
    sign(header, key);
  return all;
}

}  // namespace tarn::wire::samples
