#pragma once

#include <string>
#include <string_view>

#include <openssl/bio.h>
#include <openssl/evp.h>

#include "common/auth/owned.h"

// How this folder reads and writes OpenSSL's objects as PEM text.
namespace tarn::auth {

using Bio = Owned<BIO, BIO_free_all>;
using Key = Owned<EVP_PKEY, EVP_PKEY_free>;

// Views `text`; null when there is no memory.
Bio reader_of(std::string_view text);

// What was written into a memory BIO.
std::string contents(BIO* bio);

// For OpenSSL to call instead of asking a terminal for a passphrase.
int no_passphrase(char* buffer, int size, int is_writing, void* context);

// Null for what is no private key without a passphrase.
Key read_private_key(std::string_view pem);

// PKCS #8 without a passphrase; empty when OpenSSL cannot. The copy that OpenSSL makes is wiped.
std::string private_key_pem(EVP_PKEY* key);

}  // namespace tarn::auth
