#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/ids.h"

namespace tarn::index {

struct Domain {
  TenantId tenant;
  SpaceId space;
  friend auto operator<=>(const Domain&, const Domain&) = default;
};

// Numbers for the {tenant, space} pairs that were seen, so that a row names one in four bytes.
// Guarded by the lock of the Index. They are few and none is ever forgotten.
class Domains {
 public:
  // 0 for one that was never seen.
  uint32_t find(const Domain& domain) const {
    const auto found = x_numbers.find(domain);
    return found == x_numbers.end() ? 0 : found->second;
  }
  uint32_t find_or_add(const Domain& domain) {
    if (const uint32_t number = find(domain)) return number;
    x_domains.push_back(domain);
    return x_numbers[domain] = static_cast<uint32_t>(x_domains.size());
  }
  // Precondition: find_or_add gave the number.
  const Domain& at(uint32_t number) const {
    TARN_DCHECK(number > 0 && number <= x_domains.size());
    return x_domains[number - 1];
  }

 private:
  std::vector<Domain> x_domains;
  std::map<Domain, uint32_t> x_numbers;
};

}  // namespace tarn::index
