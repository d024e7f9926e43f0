#include "server/object/s3/sigv4.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tarn::object {
namespace {

using testing::HasSubstr;

// The published examples of AWS Signature Version 4 for S3, of 24 May 2013.
constexpr int64_t kUnixMs = 1369353600000;
constexpr std::string_view kEmptySha256 =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const Credentials kWho = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};

SignedRequest example(const std::string& method, const std::string& path) {
  SignedRequest request;
  request.method = method;
  request.path = path;
  request.headers["host"] = "examplebucket.s3.amazonaws.com";
  request.payload_sha256 = kEmptySha256;
  return request;
}

std::string authorization(SignedRequest request) {
  EXPECT_TRUE(sign(request, kWho, "us-east-1", kUnixMs).is_ok());
  return request.headers["authorization"];
}

TEST(SigV4, ARangeOfAnObject) {
  SignedRequest request = example("GET", "/test.txt");
  request.headers["range"] = "bytes=0-9";
  EXPECT_EQ(authorization(request),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(SigV4, AnObjectIsPut) {
  SignedRequest request = example("PUT", "/test%24file.text");
  request.headers["date"] = "Fri, 24 May 2013 00:00:00 GMT";
  request.headers["x-amz-storage-class"] = "REDUCED_REDUNDANCY";
  request.payload_sha256 = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
  EXPECT_THAT(authorization(request),
              HasSubstr("98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST(SigV4, AQueryWithoutAValue) {
  SignedRequest request = example("GET", "/");
  request.query["lifecycle"] = "";
  EXPECT_THAT(authorization(request),
              HasSubstr("fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
}

TEST(SigV4, AList) {
  SignedRequest request = example("GET", "/");
  request.query = {{"max-keys", "2"}, {"prefix", "J"}};
  EXPECT_THAT(authorization(request),
              HasSubstr("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

TEST(SigV4, ATokenIsSignedToo) {
  SignedRequest request = example("GET", "/");
  Credentials who = kWho;
  who.session_token = "a-token";
  ASSERT_TRUE(sign(request, who, "us-east-1", kUnixMs).is_ok());
  EXPECT_EQ(request.headers["x-amz-security-token"], "a-token");
  EXPECT_THAT(request.headers["authorization"], HasSubstr(";x-amz-security-token,"));
}

TEST(SigV4, WithoutASecretThereIsNone) {
  SignedRequest request = example("GET", "/");
  EXPECT_EQ(sign(request, {"id", "", ""}, "us-east-1", kUnixMs).code(), Code::unauthenticated);
}

}  // namespace
}  // namespace tarn::object
