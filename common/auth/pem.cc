#include "common/auth/pem.h"

#include <openssl/pem.h>

#include "common/base/check.h"

namespace tarn::auth {

Bio reader_of(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string contents(BIO* bio) {
  TARN_CHECK(bio != nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

int no_passphrase(char*, int, int, void*) {
  return -1;
}

Key read_private_key(std::string_view pem) {
  const Bio in = reader_of(pem);
  return Key(in ? PEM_read_bio_PrivateKey(in.get(), nullptr, no_passphrase, nullptr) : nullptr);
}

std::string private_key_pem(EVP_PKEY* key) {
  TARN_CHECK(key != nullptr);
  const Bio out(BIO_new(BIO_s_secmem()));
  const bool is_written = out && PEM_write_bio_PKCS8PrivateKey(out.get(), key, nullptr, nullptr, 0,
                                                               nullptr, nullptr) == 1;
  return is_written ? contents(out.get()) : std::string();
}

}  // namespace tarn::auth
