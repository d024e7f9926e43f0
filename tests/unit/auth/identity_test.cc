#include "common/auth/identity.h"

#include <gtest/gtest.h>

namespace tarn::auth {
namespace {

TEST(Identity, has_a_tenant_where_its_role_has_one) {
  EXPECT_EQ(make_identity(Role::tenant, "acme").value().tenant, "acme");
  EXPECT_EQ(make_identity(Role::worker, "acme/w-1").value().tenant, "acme");
  for (const Role role : {Role::server, Role::router, Role::admin}) {
    EXPECT_EQ(make_identity(role, "node.1_a").value().tenant, "");
  }
}

TEST(Identity, round_trips_through_its_uri) {
  for (const std::string uri : {"tarn://tenant/acme", "tarn://worker/acme/w-1", "tarn://server/s1",
                                "tarn://router/r.1", "tarn://admin/0_ops"}) {
    EXPECT_EQ(identity_uri(identity_from_uri(uri).value()), uri);
  }
}

TEST(Identity, refuses_what_is_no_name) {
  for (const std::string& name :
       {std::string(), std::string("Acme"), std::string("a b"), std::string("-a"), std::string("."),
        std::string("a/b"), std::string("a\0b", 3), std::string("\xc3\xa4"), std::string("a\n"),
        std::string(129, 'a')}) {
    EXPECT_EQ(make_identity(Role::tenant, name).status().code(), Code::invalid_argument) << name;
  }
  for (const std::string& name :
       {std::string("w1"), std::string("/w1"), std::string("acme/"), std::string("acme/w1/x"),
        std::string("acme//w1"), std::string("acme/../x"),
        std::string(64, 'a') + "/" + std::string(64, 'b')}) {
    EXPECT_EQ(make_identity(Role::worker, name).status().code(), Code::invalid_argument) << name;
  }
  EXPECT_TRUE(make_identity(Role::tenant, std::string(128, 'a')).has_value());
  EXPECT_FALSE(make_identity(static_cast<Role>(77), "a").has_value());
}

TEST(Identity, refuses_what_is_no_uri) {
  for (const std::string uri : {"", "tarn://", "tarn://tenant", "tarn://tenant/", "tarn://root/a",
                                "http://tenant/a", "tarn:/tenant/a", "tarn://Tenant/a",
                                "tarn://tenant/a/b", "tarn://tenant/a?x", " tarn://tenant/a"}) {
    EXPECT_EQ(identity_from_uri(uri).status().code(), Code::invalid_argument) << uri;
  }
}

TEST(Role, has_a_name_and_a_number) {
  for (uint8_t number = 1; number <= 5; ++number) {
    const Role role = role_from_number(number).value();
    EXPECT_EQ(role_from_name(role_name(role)), role);
  }
  EXPECT_EQ(role_from_number(0), std::nullopt);
  EXPECT_EQ(role_from_number(6), std::nullopt);
  EXPECT_EQ(role_from_name("unknown"), std::nullopt);
  EXPECT_EQ(role_name(static_cast<Role>(6)), "unknown");
}

}  // namespace
}  // namespace tarn::auth
