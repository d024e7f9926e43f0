#pragma once

#include <ucp/api/ucp.h>

#include <cstddef>
#include <span>
#include <vector>

namespace tarn::fabric {

// Where the bytes of a message are, as UCX takes it.
struct Gathered {
  void* buffer = nullptr;
  size_t count = 0;
};

// One part is given as it is, several as a list in `iov`; empty parts are left out.
template <typename Part>
Gathered gather(std::span<const Part> parts, std::vector<ucp_dt_iov_t>* iov,
                ucp_request_param_t* parameters) {
  iov->clear();
  for (const Part& part : parts) {
    // UCX has one type for both directions; it does not write through it in a send.
    if (!part.empty()) iov->push_back({const_cast<std::byte*>(part.data()), part.size()});
  }
  if (iov->empty()) return {};
  if (iov->size() == 1) return {iov->front().buffer, iov->front().length};
  parameters->op_attr_mask |= UCP_OP_ATTR_FIELD_DATATYPE;
  parameters->datatype = ucp_dt_make_iov();
  return {iov->data(), iov->size()};
}

}  // namespace tarn::fabric
