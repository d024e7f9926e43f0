#include <gtest/gtest.h>

#include "common/auth/secret_file.h"
#include "tests/unit/auth/odd_certificate.h"
#include "tests/unit/rpc/who_am_i.h"

namespace tarn::rpc {
namespace {

// Any host whose name began with "127." counted as loopback, so that a client which was told
// `insecure_loopback` sent its token in the clear to whoever owns such a name.
TEST(PlainTcp, is_not_for_hosts_whose_name_only_begins_like_loopback) {
  for (const std::string endpoint :
       {"127.example.com:7400", "127.0.0.1.example.com:7400", "127.0.0.1example.com:1", "127.:7400",
        "127:7400", "127.0.0.256:7400", "1270.0.0.1:7400", "localhost.example.com:1",
        "xlocalhost:1", "[::2]:7400", "[::1.example.com]:1", "0.0.0.0:7400", "[::]:7400", ""}) {
    EXPECT_FALSE(is_loopback(endpoint)) << endpoint;
    TlsMaterial material;
    material.insecure_loopback = true;
    EXPECT_EQ(open_channel(endpoint, auth::Role::router, material).error(),
              invalid_argument("insecure_loopback: " + endpoint + " is not a loopback address"));
  }
  for (const std::string endpoint :
       {"127.0.0.1:7400", "127.0.0.1", "127.255.255.254:1", "localhost", "[::1]", "[::1]:7400"}) {
    EXPECT_TRUE(is_loopback(endpoint)) << endpoint;
  }
}

class OddCertificates : public Credentials {
 protected:
  Status answer_to(const std::string& names) {
    const auth::CertifiedKey ca{
        auth::read_secret_file(s_folder + "/ca.pem", auth::Privacy::anyone).value(),
        auth::read_secret_file(s_folder + "/ca.key", auth::Privacy::owner).value()};
    const auth::CertifiedKey pair = auth::make_odd({names, -10, 3600, &ca});
    TlsMaterial material;
    material.ca_pem = ca.certificate_pem;
    material.certificate_pem = pair.certificate_pem;
    material.key_pem = pair.key_pem;
    return ask(auth::Role::server, material).status();
  }
};

// The first of several identities was taken, though identity_from_certificate() refuses such a
// certificate: whoever adds a name to a request for a certificate of the operator's own CA chose
// what he was.
TEST_F(OddCertificates, that_name_two_identities_name_nobody) {
  start(material_of(auth::Role::server, "s1"));
  EXPECT_EQ(answer_to("URI:tarn://admin/root,URI:tarn://tenant/acme"),
            unauthenticated("the peer's certificate names two identities"));
  EXPECT_TRUE(answer_to("URI:https://example.com/x,URI:tarn://tenant/acme").is_ok());
}

// An identity that we cannot read was answered invalid_argument, at which a client gives up as if
// its request were wrong, instead of unauthenticated, at which it looks at its credentials.
TEST_F(OddCertificates, that_name_no_role_of_ours_are_unauthenticated) {
  start(material_of(auth::Role::server, "s1"));
  for (const std::string uri : {"tarn://root/a", "tarn://tenant/", "tarn://tenant/A", "tarn://x"})
    EXPECT_EQ(answer_to("URI:" + uri).code(), Code::unauthenticated) << uri;
}

}  // namespace
}  // namespace tarn::rpc
