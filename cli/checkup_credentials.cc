#include <filesystem>
#include <system_error>

#include "cli/checkup.h"
#include "cli/credentials_folder.h"
#include "common/auth/certificates.h"
#include "common/auth/secret_file.h"
#include "common/auth/secrets_dir.h"
#include "common/auth/token.h"
#include "common/base/clock.h"

namespace tarn::cli {
namespace {

constexpr int64_t kDaysLow = 14;
constexpr const char* kName = "credentials";

bool exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

Finding failed(const Status& why, const std::string& advice) {
  return {kName, Health::problem, why.message(), advice};
}

// A folder with keys of servers and routers in it.
Findings check_secrets(const std::string& folder) {
  const auto dir = auth::SecretsDir::open(folder);
  if (!dir) return {failed(dir.error(), "then run this again")};
  Findings all = {{kName, Health::ok, folder + ": private to its owner", ""}};
  const auto expiry = dir->soonest_expiry(system_clock().unix_ms());
  if (expiry) {
    all.push_back(judge_days_left(expiry->file, expiry->days));
  } else {
    all.push_back(failed(expiry.error(), "run `tarn certs` to issue it anew"));
  }
  return all;
}

Findings check_client(const std::string& folder) {
  if (const Status safe = auth::check_secret_folder(folder); !safe.is_ok()) {
    return {failed(safe, "others could put credentials of theirs there")};
  }
  const auto proof = read_proof(folder);
  if (!proof) return {failed(proof.error(), "write the folder anew with `tarn token create`")};
  Findings all = {{kName, Health::ok, proof->source, ""}};
  if (proof->certificate_pem.empty()) return all;
  const auto end_ms = auth::certificate_end_ms(proof->certificate_pem);
  if (!end_ms) return {failed(end_ms.error(), "issue the certificate anew")};
  const int64_t left_ms = *end_ms - system_clock().unix_ms();
  all.push_back(judge_days_left(proof->source, left_ms / 86'400'000));
  return all;
}

}  // namespace

Finding judge_days_left(const std::string& file, int64_t days) {
  if (days < 0) {
    return {"expiry", Health::problem, file + " has ended",
            "run `tarn certs` again, then restart what uses it"};
  }
  const std::string seen = file + " is good for " + std::to_string(days) + " days";
  if (days > kDaysLow) return {"expiry", Health::ok, seen, ""};
  return {"expiry", Health::warning, seen, "run `tarn certs` again, then restart what uses it"};
}

Findings check_credentials(const std::string& folder) {
  if (!exists(folder)) {
    return {{kName, Health::warning, "there is no " + folder,
             "start `tarn dev`, or write one with `tarn certs` and `tarn token create`"}};
  }
  if (exists(folder + "/token.pub")) return check_secrets(folder);
  Findings all = check_client(folder);
  if (exists(folder + "/secrets")) {
    for (Finding& finding : check_secrets(folder + "/secrets"))
      all.push_back(std::move(finding));
  }
  return all;
}

}  // namespace tarn::cli
