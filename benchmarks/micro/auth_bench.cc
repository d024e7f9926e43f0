#include <benchmark/benchmark.h>

#include <string>

#include "common/auth/ticket.h"
#include "common/auth/token.h"
#include "common/base/check.h"

namespace tarn::micro {
namespace {

auth::RequestMac open_mac() {
  auto mac = auth::RequestMac::open(std::string(32, 'k'), {Incarnation{7}, {}});
  TARN_CHECK(mac.has_value());
  return std::move(mac).value();
}

// One header of so many bytes: what each side pays for each request.
void request_mac(benchmark::State& state) {
  auth::RequestMac mac = open_mac();
  const std::string header(static_cast<size_t>(state.range(0)), 'h');
  uint64_t sequence = 0;
  for (auto _ : state)
    benchmark::DoNotOptimize(mac.compute(++sequence, header));
}
BENCHMARK(request_mac)->Arg(128)->Arg(1024)->Arg(7936);

void replay_window(benchmark::State& state) {
  auth::ReplayWindow window;
  uint64_t sequence = 0;
  for (auto _ : state)
    benchmark::DoNotOptimize(window.accept(++sequence));
}
BENCHMARK(replay_window);

void open_ticket(benchmark::State& state) {
  const auto key = auth::make_ticket_key(1, INT64_MAX);
  TARN_CHECK(key.has_value());
  auth::Ticket ticket;
  ticket.holder = auth::make_identity(auth::Role::tenant, "bench").value();
  ticket.rights = auth::right::kRead;
  ticket.issued_ms = 1;
  ticket.expires_ms = 1000;
  const auto sealed = auth::seal_ticket(ticket, key.value());
  TARN_CHECK(sealed.has_value());
  auth::TicketRules rules;
  rules.keys = {&key.value(), 1};
  rules.now_ms = 10;
  for (auto _ : state)
    benchmark::DoNotOptimize(auth::open_ticket(sealed.value().bytes, rules));
}
BENCHMARK(open_ticket);

// What each request would cost if it carried a signature in place of a MAC.
void verify_token(benchmark::State& state) {
  const auto keys = auth::make_token_keys();
  TARN_CHECK(keys.has_value());
  const auto signer = auth::TokenSigner::open(keys.value().private_pem);
  const auto verifier = auth::TokenVerifier::open({&keys.value().public_pem, 1});
  TARN_CHECK(signer.has_value() && verifier.has_value());
  const auto holder = auth::make_identity(auth::Role::tenant, "bench");
  const auto token = signer.value().sign(holder.value(), 1'000'000);
  TARN_CHECK(token.has_value());
  for (auto _ : state)
    benchmark::DoNotOptimize(verifier.value().verify(token.value(), 1'000, 0));
}
BENCHMARK(verify_token);

}  // namespace
}  // namespace tarn::micro
