#pragma once

#include <memory>
#include <string>
#include <utility>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "cli/rpc/admin_client.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/rpc/credentials.h"
#include "common/rpc/status.h"

namespace tarn::cli {

// A channel to one router, whose failures name it. Thread-safe, immutable after open.
class RouterLine {
 public:
  static Result<RouterLine> open(const std::string& endpoint, const RouterCredentials& credentials,
                                 Millis timeout);

  const std::string& endpoint() const { return x_endpoint; }
  const std::shared_ptr<grpc::Channel>& channel() const { return x_channel; }

  // Makes one call: `make` is given its context and returns gRPC's status.
  template <typename Make>
  Status call(Make&& make) const {
    grpc::ClientContext context;
    rpc::set_timeout(context, x_timeout);
    return named(rpc::from_grpc(make(context)));
  }

 private:
  RouterLine(std::string endpoint, std::shared_ptr<grpc::Channel> channel, Millis timeout)
      : x_endpoint(std::move(endpoint)), x_channel(std::move(channel)), x_timeout(timeout) {}

  Status named(Status status) const;

  std::string x_endpoint;
  std::shared_ptr<grpc::Channel> x_channel;
  Millis x_timeout;
};

}  // namespace tarn::cli
