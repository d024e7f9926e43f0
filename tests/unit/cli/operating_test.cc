#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "router/options.h"
#include "server/options.h"
#include "tests/unit/cli/tarn_run.h"

namespace tarn::cli {
namespace {

using testing::HasSubstr;

// The tables of docs/OPERATING.md are those of the programs: copy what the failure shows.
class Operating : public testing::Test {
 protected:
  const std::string page = file_text(std::string(TARN_SOURCE_DIR) + "/docs/OPERATING.md");
};

TEST_F(Operating, page_has_every_item_of_the_router) {
  EXPECT_THAT(page, HasSubstr(router::router_schema().to_markdown()));
}

TEST_F(Operating, page_has_every_item_of_the_server) {
  EXPECT_THAT(page, HasSubstr(server::server_schema().to_markdown()));
}

}  // namespace
}  // namespace tarn::cli
