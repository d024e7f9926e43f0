#include "server/object/s3/credential_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

namespace tarn::object {
namespace {

using testing::HasSubstr;

class CredentialSourceTest : public testing::Test {
 protected:
  void SetUp() override {
    x_folder = std::filesystem::path(testing::TempDir()) / "credential_source";
    std::filesystem::create_directories(x_folder / ".aws");
    x_variables["HOME"] = x_folder.string();
  }
  void TearDown() override { std::filesystem::remove_all(x_folder); }

  CredentialSource source() {
    return CredentialSource([this](const std::string& name) {
      const auto found = x_variables.find(name);
      return found == x_variables.end() ? std::string() : found->second;
    });
  }
  // Put in its place whole, as tools do.
  void write(const std::string& name, const std::string& text) const {
    const auto path = x_folder / ".aws" / name;
    std::ofstream(path.string() + ".new") << text;
    std::filesystem::rename(path.string() + ".new", path);
  }

  std::filesystem::path x_folder;
  std::map<std::string, std::string> x_variables;
};

TEST_F(CredentialSourceTest, TheEnvironmentGoesFirst) {
  write("credentials", "[default]\naws_access_key_id=file\naws_secret_access_key=s\n");
  x_variables["AWS_ACCESS_KEY_ID"] = "id";
  x_variables["AWS_SECRET_ACCESS_KEY"] = "secret";
  x_variables["AWS_SESSION_TOKEN"] = "token";
  EXPECT_EQ(*source().get(), (Credentials{"id", "secret", "token"}));
}

TEST_F(CredentialSourceTest, AFileAndItsProfiles) {
  write("credentials",
        "# a comment\n[default]\naws_access_key_id = a\naws_secret_access_key = b/=c \n"
        "[ other ]\r\naws_access_key_id=o\naws_secret_access_key=p\naws_session_token=t\n");
  EXPECT_EQ(*source().get(), (Credentials{"a", "b/=c", ""}));
  x_variables["AWS_PROFILE"] = "other";
  EXPECT_EQ(*source().get(), (Credentials{"o", "p", "t"}));
}

TEST_F(CredentialSourceTest, AFileThatChangesIsReadAgain) {
  write("credentials", "[default]\naws_access_key_id=a\naws_secret_access_key=b\n");
  CredentialSource own = source();
  EXPECT_EQ(own.get()->access_key_id, "a");
  write("credentials", "[default]\naws_access_key_id=c\naws_secret_access_key=d\n");
  EXPECT_EQ(own.get()->access_key_id, "c");
  write("credentials", "[default]\n");
  EXPECT_FALSE(own.get());
}

TEST_F(CredentialSourceTest, WhereThereAreNoneItSaysWhereItLooked) {
  CredentialSource own = source();
  const auto none = own.get();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Code::unauthenticated);
  EXPECT_THAT(none.error().message(), HasSubstr((x_folder / ".aws/credentials").string()));
  EXPECT_THAT(none.error().message(), HasSubstr("[default]"));
}

TEST_F(CredentialSourceTest, TheRegion) {
  EXPECT_EQ(source().region(), "us-east-1");
  write("config", "[default]\nregion = r1\n[profile other]\nregion = r2\n");
  EXPECT_EQ(source().region(), "r1");
  x_variables["AWS_PROFILE"] = "other";
  EXPECT_EQ(source().region(), "r2");
  x_variables["AWS_REGION"] = "r3";
  EXPECT_EQ(source().region(), "r3");
}

}  // namespace
}  // namespace tarn::object
