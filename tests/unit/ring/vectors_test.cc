// Holds common/ring to the tables of docs/RING.md.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "common/block/space.h"
#include "common/ring/position.h"
#include "common/ring/ring.h"
#include "tests/unit/ring/cluster.h"

namespace tarn::ring {
namespace {

using Row = std::vector<std::string>;

std::string strip(const std::string& cell) {
  const size_t from = cell.find_first_not_of(" `");
  if (from == std::string::npos) return "";
  return cell.substr(from, cell.find_last_not_of(" `") - from + 1);
}

// The rows of the page's table that has this header line.
std::vector<Row> table(const std::string& header) {
  std::ifstream page(TARN_SOURCE_DIR "/docs/RING.md");
  std::vector<Row> rows;
  std::string line;
  bool inside = false;
  while (std::getline(page, line)) {
    if (line == header) inside = true;
    if (!inside || line == header || line.starts_with("|---")) continue;
    if (!line.starts_with("|")) break;
    std::istringstream cells(line.substr(1));
    std::string cell;
    Row& row = rows.emplace_back();
    while (std::getline(cells, cell, '|'))
      row.push_back(strip(cell));
  }
  return rows;
}

template <typename Id>
Id id_of(const std::string& hex) {
  const std::string bytes = from_hex(hex);
  Id id;
  EXPECT_EQ(bytes.size(), id.bytes.size());
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id;
}

Position position(const std::string& hex) {
  return Position{std::stoull(hex, nullptr, 16)};
}

TEST(Vectors, names_are_as_documented) {
  EXPECT_EQ(to_hex(block::tenant_id("acme")), "822b33ad87c148a0a20a5ba7cd5ebcaa");
  EXPECT_EQ(to_hex(block::tenant_id("blue")), "16477688c0e00699c6cfa4497a3612d7");
  block::SpaceSpec spec;
  spec.model = "llama-3-8b";
  spec.revision = "r1";
  spec.dtype = "bf16";
  spec.layout = "NHD";
  spec.hash_seed = "0";
  EXPECT_EQ(to_hex(block::space_id(spec)), "41f01df1ede2ca8165b3fe87cf850937");
}

TEST(Vectors, positions_of_extents_are_as_documented) {
  const auto rows = table("| tenant | space | anchor | position | slot | lane |");
  ASSERT_EQ(rows.size(), 5u);
  for (const Row& row : rows) {
    const auto anchor = block::BlockHash::from(from_hex(row[2])).value();
    const Position actual = position_of(id_of<TenantId>(row[0]), id_of<SpaceId>(row[1]), anchor);
    EXPECT_EQ(actual, position(row[3])) << row[3];
    EXPECT_EQ(slot_of(actual).value, std::stoul(row[4]));
    EXPECT_EQ(lane_of(actual, 8), std::stoul(row[5]));
  }
}

TEST(Vectors, positions_of_sessions_are_as_documented) {
  const auto rows = table("| tenant | session id (hex) | position | slot |");
  ASSERT_EQ(rows.size(), 3u);
  for (const Row& row : rows) {
    const Position actual = session_position(id_of<TenantId>(row[0]), from_hex(row[1]));
    EXPECT_EQ(actual, position(row[2])) << row[2];
    EXPECT_EQ(slot_of(actual).value, std::stoul(row[3]));
  }
}

TEST(Vectors, owners_are_as_documented) {
  const auto rows = table("| position | owners |");
  ASSERT_EQ(rows.size(), 5u);
  const Ring ring = Ring::build(make_cluster(5, 3)).value();
  for (const Row& row : rows) {
    std::string owners;
    for (const ServerId id : ring.owners(position(row[0]), 5))
      owners += (owners.empty() ? "" : " ") + std::to_string(id.value);
    EXPECT_EQ(owners, row[1]) << row[0];
  }
}

}  // namespace
}  // namespace tarn::ring
