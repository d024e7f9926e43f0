#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/object/s3/s3_error.h"
#include "server/object/s3/xml_text.h"

namespace tarn::object {
namespace {

using testing::HasSubstr;

TEST(XmlText, ElementsAndEntities) {
  const std::string xml = "<A><B>1 &lt; 2 &amp;&quot;&apos;&gt;</B><B>x</B><C/></A>";
  EXPECT_EQ(xml_text(xml, "B"), "1 < 2 &\"'>");
  EXPECT_EQ(xml_text(xml, "D"), std::nullopt);
  EXPECT_EQ(xml_elements(xml, "B").size(), 2u);
  EXPECT_TRUE(xml_elements(xml, "C").empty());
}

TEST(XmlText, WhatIsCutOrNoXmlGivesNothing) {
  for (const char* xml : {"", "<", "<B>", "</B><B>", "<B>x</C>", "&amp;", "<B"})
    EXPECT_EQ(xml_text(xml, "B"), std::nullopt) << xml;
  EXPECT_EQ(xml_text("<B>&amp</B>", "B"), "&amp");
}

std::string answer(const std::string& code) {
  return "<Error><Code>" + code + "</Code><Message>words\nof it</Message></Error>";
}

TEST(S3Errors, EachSaysWhatToDo) {
  struct Row {
    long http;
    std::string s3;
    Code code;
    std::string advice;
  };
  const Row rows[] = {
      {404, "NoSuchBucket", Code::invalid_argument, "make it"},
      {404, "NoSuchKey", Code::not_found, "no such object"},
      {403, "RequestTimeTooSkewed", Code::unauthenticated, "set the clock"},
      {403, "SignatureDoesNotMatch", Code::permission_denied, "secret access key"},
      {403, "InvalidAccessKeyId", Code::permission_denied, "AWS_ACCESS_KEY_ID"},
      {403, "AccessDenied", Code::permission_denied, "s3:ListBucket"},
      {400, "ExpiredToken", Code::permission_denied, "renew"},
      {400, "AuthorizationHeaderMalformed", Code::invalid_argument, "AWS_REGION"},
  };
  for (const Row& row : rows) {
    const S3Error error = s3_error(row.http, answer(row.s3), "s3://bucket/ at host");
    EXPECT_EQ(error.status.code(), row.code) << row.s3;
    EXPECT_FALSE(error.is_passing) << row.s3;
    EXPECT_THAT(error.status.message(), HasSubstr(row.advice));
    EXPECT_THAT(error.status.message(), HasSubstr("s3://bucket/ at host"));
    EXPECT_THAT(error.status.message(), HasSubstr(row.s3 + ": words of it"));
  }
}

TEST(S3Errors, OnlyWhatPassesIsTriedAgain) {
  EXPECT_TRUE(s3_error(503, answer("SlowDown"), "").is_passing);
  EXPECT_TRUE(s3_error(500, "no xml", "").is_passing);
  EXPECT_TRUE(s3_error(429, "", "").is_passing);
  EXPECT_FALSE(s3_error(507, "", "").is_passing);
  EXPECT_EQ(s3_error(507, "", "").status.code(), Code::overloaded);
  EXPECT_FALSE(s3_error(403, "", "").is_passing);
  EXPECT_EQ(s3_error(404, "", "").status.code(), Code::not_found);
  EXPECT_EQ(s3_error(418, "", "").status.code(), Code::invalid_argument);
}

}  // namespace
}  // namespace tarn::object
