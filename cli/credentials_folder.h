#pragma once

#include <string>
#include <string_view>

#include "common/auth/identity.h"
#include "common/base/result.h"

namespace tarn::cli {

// Where `tarn dev` keeps its data and what the SDK looks for when it is told nothing: ~/.tarn/dev.
// Returns: the path; invalid_argument when there is no HOME.
Result<std::string> default_folder();

// What the SDK's folder is made of; empty parts are left out.
struct FolderParts {
  std::string ca_pem;
  std::string token;
  std::string endpoint;  // HOST:PORT of routers, with commas
};

// Writes the folder that ClientOptions::credentials takes: ca.pem, token, endpoint; mode 0700,
// files 0600. Returns: ok; permission_denied; unavailable.
Status write_credentials_folder(const std::string& folder, const FolderParts& parts);

// What this machine shows a router, read from a folder of either kind: that of a client, or the
// secrets folder of the operators, with the certificate of an admin in it. A plain value.
struct Proof {
  std::string endpoint;  // of the folder; empty when it names none
  std::string ca_pem;
  std::string certificate_pem;
  std::string key_pem;
  std::string token;
  std::string source;  // the file that says who one is, for people

  bool is_admin = false;
};

// An admin's certificate goes before the client's own credential, where the folder, or `secrets`
// in it, holds one. Returns: the proof; not_found that says what the folder lacks.
Result<Proof> read_proof(const std::string& folder);

// The client's own credential, as the SDK takes it.
Result<Proof> read_client_proof(const std::string& folder);

// The folder that was named, else TARN_CREDENTIALS, else default_folder().
Result<std::string> find_folder(std::string_view named);

// The endpoint that was named, else TARN_ENDPOINT, else the proof's.
// Returns: HOST:PORT; invalid_argument that says where it was looked for.
Result<std::string> find_endpoint(std::string_view named, const Proof& proof);

}  // namespace tarn::cli
