#pragma once

#include <gtest/gtest.h>

#include <string>

#include "common/fabric/grpc_stream.h"

namespace tarn::fabric {

// What a stream asks of gRPC; the test ends each when it likes.
struct FakeCall : GrpcCall {
  void read(grpc::ByteBuffer* into) override {
    EXPECT_EQ(reading, nullptr) << "two reads at a time";
    reading = into;
  }
  void write(const grpc::ByteBuffer* message) override {
    EXPECT_EQ(writing, nullptr) << "two writes at a time";
    writing = message;
  }
  void finish(const std::string& why) override {
    ++finishes;
    reason = why;
  }

  grpc::ByteBuffer* reading = nullptr;
  const grpc::ByteBuffer* writing = nullptr;
  int finishes = 0;
  std::string reason;
};

}  // namespace tarn::fabric
