#include "router/member/authority.h"

#include <string_view>

#include "router/member/etcd_authority.h"
#include "router/member/file_authority.h"

namespace tarn::member {

Result<std::unique_ptr<Authority>> open_authority(const AuthorityOptions& options) {
  constexpr std::string_view kFile = "file:";
  constexpr std::string_view kEtcd = "etcd:";
  if (options.cluster.empty()) return invalid_argument("cluster: is empty");
  if (options.router.empty()) return invalid_argument("name: is empty");
  const std::string& address = options.address;
  if (address.starts_with(kFile)) return open_file_authority(address.substr(kFile.size()));
  if (address.starts_with(kEtcd)) {
    return open_etcd_authority({address.substr(kEtcd.size()), options.cluster, options.router});
  }
  return invalid_argument("authority: '" + address +
                          "' is neither etcd:http://HOST:PORT nor file:FOLDER");
}

}  // namespace tarn::member
