#include "server/object/s3/object_url.h"

#include <gtest/gtest.h>

namespace tarn::object {
namespace {

TEST(ObjectUrl, BucketAndPrefix) {
  EXPECT_EQ(ObjectUrl::parse("s3://bucket")->bucket, "bucket");
  EXPECT_EQ(ObjectUrl::parse("s3://bucket")->prefix, "");
  EXPECT_EQ(ObjectUrl::parse("s3://bucket/")->prefix, "");
  EXPECT_EQ(ObjectUrl::parse("s3://my.bucket-1/a/b")->prefix, "a/b/");
  EXPECT_EQ(ObjectUrl::parse("s3://my.bucket-1/a/b/")->prefix, "a/b/");
}

TEST(ObjectUrl, WhatIsNoneSaysSo) {
  for (const char* text : {"", "s3:/b", "http://bucket/x", "s3://", "s3://ab", "s3://Bucket",
                           "s3://-bucket", "s3://buck et/x", "s3://bucket//x", "s3://bucket/a//b",
                           "s3://bucket/a?b", "s3://bucket/\n"}) {
    const auto url = ObjectUrl::parse(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code(), Code::invalid_argument);
    EXPECT_TRUE(url.error().message().starts_with("object_url: ")) << url.error().message();
  }
}

TEST(BucketAddress, OfAwsAndOfOthers) {
  const auto aws = BucketAddress::of({"bucket", "eu-west-1", "", false});
  ASSERT_TRUE(aws);
  EXPECT_EQ(aws->scheme, "https");
  EXPECT_EQ(aws->host, "bucket.s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(aws->path, "");
  const auto own = BucketAddress::of({"bucket", "eu-west-1", "http://127.0.0.1:9000/", true});
  ASSERT_TRUE(own);
  EXPECT_EQ(own->scheme, "http");
  EXPECT_EQ(own->host, "127.0.0.1:9000");
  EXPECT_EQ(own->path, "/bucket");
}

TEST(BucketAddress, AnEndpointThatIsNone) {
  for (const char* text : {"127.0.0.1:9000", "ftp://host", "http://", "http://host/path"}) {
    const auto address = BucketAddress::of({"bucket", "r", text, true});
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code(), Code::invalid_argument);
  }
}

TEST(UriEncode, AsSignaturesWantIt) {
  EXPECT_EQ(uri_encode("aZ0-._~", false), "aZ0-._~");
  EXPECT_EQ(uri_encode("a/b c+\xff", true), "a/b%20c%2B%FF");
  EXPECT_EQ(uri_encode("a/b", false), "a%2Fb");
}

}  // namespace
}  // namespace tarn::object
