#include "benchmarks/report/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "benchmarks/report/machine.h"

namespace tarn::report {
namespace {

TEST(JsonObjectTest, FieldsKeepTheirOrderAndTypes) {
  JsonObject object;
  object.add("op", "get").add("blocks", uint64_t{8}).add("ratio", 0.75).add("is_quiet", false);
  EXPECT_EQ(object.text(),
            "{\n  \"op\": \"get\",\n  \"blocks\": 8,\n  \"ratio\": 0.75,\n"
            "  \"is_quiet\": false\n}");
}

TEST(JsonObjectTest, NestsWithIndentation) {
  JsonObject inner;
  inner.add("a", uint64_t{1});
  JsonObject outer;
  outer.add("inner", inner).add("empty", JsonObject());
  EXPECT_EQ(outer.text(), "{\n  \"inner\": {\n    \"a\": 1\n  },\n  \"empty\": {}\n}");
}

TEST(JsonObjectTest, TextIsEscaped) {
  JsonObject object;
  object.add("text", "a\"b\\c\nd");
  EXPECT_EQ(object.text(), "{\n  \"text\": \"a\\\"b\\\\c\\u000ad\"\n}");
}

TEST(JsonObjectTest, WhatIsNoNumberIsNull) {
  JsonObject object;
  object.add("x", std::nan("")).add("y", INFINITY);
  EXPECT_EQ(object.text(), "{\n  \"x\": null,\n  \"y\": null\n}");
}

TEST(JsonObjectTest, FiguresHaveTheNamesThatReadersRelyOn) {
  const std::string figures = json_of(Figures{1, 2, 3, 4}).text();
  for (const char* const name : {"gb_per_s", "p50_us", "p99_us", "cpu_s_per_gb"}) {
    EXPECT_NE(figures.find('"' + std::string(name) + '"'), std::string::npos) << name;
  }
  const std::string ratio = json_of_ratio(Figures{1, 2, 3, 4}).text();
  for (const char* const name : {"gb_per_s", "p50", "p99", "cpu"}) {
    EXPECT_NE(ratio.find('"' + std::string(name) + '"'), std::string::npos) << name;
  }
}

TEST(JsonObjectTest, MachineIsDescribed) {
  const std::string machine = describe_machine().text();
  EXPECT_NE(machine.find("\"cores\""), std::string::npos);
  EXPECT_NE(machine.find("\"kernel\""), std::string::npos);
}

TEST(WriteFileTest, WritesWholeOrSaysNo) {
  const std::string path = testing::TempDir() + "tarn_bench_json_test";
  ASSERT_TRUE(write_file(path, "{}\n"));
  std::stringstream read;
  read << std::ifstream(path).rdbuf();
  EXPECT_EQ(read.str(), "{}\n");
  std::remove(path.c_str());
  EXPECT_FALSE(write_file("/no/such/folder/file", "{}"));
}

}  // namespace
}  // namespace tarn::report
