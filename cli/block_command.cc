#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <ostream>
#include <system_error>

#include "cli/command.h"
#include "cli/tenant_client.h"
#include "cli/text.h"
#include "common/base/check.h"
#include "common/base/ids.h"
#include "common/base/units.h"
#include "common/block/sha256.h"

namespace tarn::cli {
namespace {

struct BlockOptions {
  ClusterFlags cluster;
  SpaceSpec space;
  CallOptions call;
  bool is_chained = false;
  std::vector<std::string> words;  // files to put, or hashes
  std::string hash;
  std::string parent;
  std::string out;
  uint32_t shard = 0;
};

// One file on its way into a space.
struct Upload {
  std::string file;
  std::string bytes;
  BlockHash hash;
};

Result<Space> open_space(const BlockOptions& options, Client& client) {
  SpaceSpec spec = options.space;
  spec.flat = !options.is_chained;
  auto space = client.open_space(spec);
  if (!space) return status_of(space.error());
  return std::move(space).value();
}

Result<std::string> read_input(const std::string& file) {
  std::ifstream in;
  std::error_code error;
  if (file != "-" && std::filesystem::is_directory(file, error)) {
    return invalid_argument(file + " is a folder: name files");
  }
  if (file != "-") in.open(file, std::ios::binary);
  if (file != "-" && !in) return not_found("there is no file " + file + " that can be read");
  std::istream& source = file == "-" ? std::cin : in;
  std::string bytes;
  bytes.assign(std::istreambuf_iterator<char>(source), std::istreambuf_iterator<char>());
  if (bytes.empty()) return invalid_argument(file + " is empty: a block has 1 byte at least");
  if (bytes.size() > kBlockBytesMax) {
    return invalid_argument(file + " has " + format_bytes(bytes.size()) +
                            "; a block has 64 MiB at most: split it");
  }
  return bytes;
}

Result<Upload> read_upload(const BlockOptions& options, const std::string& file) {
  Upload upload{file, "", ""};
  TARN_ASSIGN_OR_RETURN(upload.bytes, read_input(file));
  if (!options.hash.empty()) {
    TARN_ASSIGN_OR_RETURN(upload.hash, hash_from_hex(options.hash));
    return upload;
  }
  const block::Digest256 digest = block::sha256(upload.bytes);
  upload.hash.assign(digest.begin(), digest.end());
  return upload;
}

// Waits for the end of a transfer and takes its only outcome.
BlockOutcome outcome_of(Transfer transfer) {
  const auto waited = transfer.wait();
  (void)waited;
  TARN_CHECK(transfer.outcomes().size() == 1);
  return transfer.outcomes().front();
}

Json to_json(const Upload& upload, const BlockOutcome& outcome) {
  return Json::object()
      .set("file", upload.file)
      .set("hash", to_hex(upload.hash))
      .set("bytes", upload.bytes.size())
      .set("outcome", outcome_name(outcome.outcome))
      .set("copies", outcome.copies)
      .set("message", outcome.message);
}

// The worst of all outcomes decides what the command leaves with.
void note(Status& worst, const Upload& upload, const BlockOutcome& outcome) {
  const bool is_kept = outcome.outcome == Outcome::ok || outcome.outcome == Outcome::exists ||
                       outcome.outcome == Outcome::kept_less;
  if (is_kept || !worst.is_ok()) return;
  const std::string why(outcome.message.empty() ? outcome_name(outcome.outcome) : outcome.message);
  worst = status_of(outcome.outcome, upload.file + " is not kept: " + why);
}

Status run_put(const BlockOptions& options, Terminal& terminal) {
  if (!options.hash.empty() && options.words.size() > 1) {
    return invalid_argument("--hash names one block: give one file");
  }
  // What is wrong in the words is told before anybody is asked.
  if (!options.hash.empty()) TARN_RETURN_IF_ERROR(hash_from_hex(options.hash).status());
  BlockHash parent;
  if (!options.parent.empty()) {
    TARN_ASSIGN_OR_RETURN(parent, hash_from_hex(options.parent));
  }
  TARN_ASSIGN_OR_RETURN(Client client, connect_client(options.cluster));
  TARN_ASSIGN_OR_RETURN(Space space, open_space(options, client));
  Json list = Json::array();
  Table table({"HASH", "BYTES", "OUTCOME", "COPIES", "FILE"});
  Status worst;
  for (size_t i = 0; i < options.words.size(); ++i) {
    TARN_ASSIGN_OR_RETURN(const Upload upload, read_upload(options, options.words[i]));
    const std::vector<PutItem> items = {{upload.hash,
                                         parent,
                                         {Slice::of(upload.bytes.data(), upload.bytes.size())},
                                         options.shard}};
    const BlockOutcome outcome = outcome_of(space.put_kv(items, options.call));
    note(worst, upload, outcome);
    list.add(to_json(upload, outcome));
    table.add({to_hex(upload.hash), std::to_string(upload.bytes.size()),
               std::string(outcome_name(outcome.outcome)), std::to_string(outcome.copies),
               upload.file});
    // A chain is put in its order: the next file follows this block.
    if (options.is_chained) parent = upload.hash;
    if (terminal.is_interactive && options.words.size() > 1) {
      terminal.err << "\r" << i + 1 << " of " << options.words.size() << " files"
                   << (i + 1 == options.words.size() ? "\n" : "") << std::flush;
    }
  }
  terminal.answer(Json::object().set("space", space.id()).set("blocks", std::move(list)),
                  table.text());
  return worst;
}

// Asks with room for the largest block; the answer tells the size where the room is too large.
Result<std::string> fetch(const BlockOptions& options, Space& space, BlockOutcome& outcome) {
  TARN_ASSIGN_OR_RETURN(const BlockHash hash, hash_from_hex(options.words.front()));
  std::string bytes(kBlockBytesMax, '\0');
  const auto get = [&] {
    const std::vector<GetItem> items = {
        {hash, {Slice::of(bytes.data(), bytes.size())}, options.shard}};
    return outcome_of(space.get_kv(items, options.call));
  };
  outcome = get();
  const bool has_size = outcome.outcome == Outcome::invalid_argument && outcome.bytes > 0 &&
                        outcome.bytes < bytes.size();
  if (has_size) {
    bytes.resize(outcome.bytes);
    outcome = get();
  }
  if (outcome.outcome == Outcome::ok) return bytes;
  if (outcome.outcome == Outcome::miss) {
    return not_found("there is no block " + options.words.front() + " in this space");
  }
  return status_of(outcome.outcome, outcome.message);
}

Status write_output(const std::string& path, const std::string& bytes) {
  if (path == "-") {
    std::cout.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush();
    return std::cout ? Status::ok() : unavailable("stdout takes nothing");
  }
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  return out ? Status::ok() : unavailable("cannot write " + path);
}

Status run_get(const BlockOptions& options, Terminal& terminal) {
  if (options.out == "-" && terminal.is_json) {
    return invalid_argument("--out - and --json both want stdout: name a file");
  }
  TARN_RETURN_IF_ERROR(hash_from_hex(options.words.front()).status());
  TARN_ASSIGN_OR_RETURN(Client client, connect_client(options.cluster));
  TARN_ASSIGN_OR_RETURN(Space space, open_space(options, client));
  BlockOutcome outcome;
  TARN_ASSIGN_OR_RETURN(const std::string bytes, fetch(options, space, outcome));
  TARN_RETURN_IF_ERROR(write_output(options.out, bytes));
  if (options.out == "-") return Status::ok();
  terminal.answer(
      Json::object()
          .set("hash", options.words.front())
          .set("bytes", bytes.size())
          .set("server", outcome.server)
          .set("file", options.out),
      options.out + ": " + std::to_string(bytes.size()) + " bytes from " + outcome.server + "\n");
  return Status::ok();
}

Json to_json(const MatchResult& match, size_t asked) {
  Json runs = Json::array();
  for (const MatchRun& run : match.runs) {
    runs.add(Json::object()
                 .set("first", run.first)
                 .set("count", run.count)
                 .set("server", run.server)
                 .set("tier", run.tier)
                 .set("estimated_us", run.estimated_us));
  }
  return Json::object()
      .set("asked", asked)
      .set("matched", match.matched)
      .set("partial", match.partial)
      .set("runs", std::move(runs));
}

std::string to_text(const MatchResult& match, size_t asked) {
  std::string text = std::to_string(match.matched) + " of " + std::to_string(asked) +
                     " blocks can be used" +
                     (match.partial ? " (a router is still learning what is stored)" : "") + "\n";
  if (match.runs.empty()) return text;
  Table table({"FIRST", "COUNT", "SERVER", "TIER", "ESTIMATED"});
  for (const MatchRun& run : match.runs) {
    table.add({std::to_string(run.first), std::to_string(run.count), run.server, run.tier,
               std::to_string(run.estimated_us) + " us"});
  }
  return text + table.text();
}

Status run_match(const BlockOptions& options, Terminal& terminal) {
  std::vector<BlockHash> hashes;
  for (const std::string& word : options.words) {
    TARN_ASSIGN_OR_RETURN(BlockHash hash, hash_from_hex(word));
    hashes.push_back(std::move(hash));
  }
  TARN_ASSIGN_OR_RETURN(Client client, connect_client(options.cluster));
  TARN_ASSIGN_OR_RETURN(Space space, open_space(options, client));
  auto match = space.match(hashes, options.call);
  if (!match) return status_of(match.error());
  terminal.answer(to_json(*match, hashes.size()), to_text(*match, hashes.size()));
  return match->matched > 0 ? Status::ok() : not_found("no block of this prefix is stored");
}

void add_space_flags(CLI::App& command, BlockOptions& options) {
  SpaceSpec& space = options.space;
  space.model = "files";
  space.dtype = "bytes";
  space.layout = "raw";
  space.hash_scheme = "sha256";
  space.hash_seed = "";
  const char* const group = "Space";
  const auto add = [&](const char* name, auto& value, const char* what) {
    command.add_option(name, value, what)->capture_default_str()->group(group);
  };
  add("--model,--space-model", space.model, "Model of the space");
  add("--revision", space.revision, "Its revision");
  add("--dtype", space.dtype, "Type of its numbers");
  add("--layout", space.layout, "Order of a block's bytes");
  add("--block-tokens", space.block_tokens, "Tokens of a block");
  add("--tensor-parallel", space.tensor_parallel, "Shards of a block");
  add("--hash-scheme", space.hash_scheme, "How its hashes are made");
  add("--hash-seed", space.hash_seed, "The seed of its hashes");
  add("--extent-blocks", space.extent_blocks, "Blocks of a chain that are placed together");
  command.add_flag("--chained", options.is_chained, "Blocks form chains (default: flat keys)")
      ->group(group);
  command.add_option("--shard", options.shard, "Tensor-parallel rank")->group(group);
}

CLI::App& add_block_command(CLI::App& app, Invocation& chosen,
                            std::pair<const char*, const char*> words,
                            const std::shared_ptr<BlockOptions>& options) {
  CLI::App& command = add_command(app, chosen, words.first, words.second);
  add_cluster_flags(command, options->cluster);
  add_space_flags(command, *options);
  return command;
}

void add_put(CLI::App& app, Invocation& chosen) {
  const auto options = std::make_shared<BlockOptions>();
  CLI::App& command =
      add_block_command(app, chosen, {"put", "Keep files as blocks, one each"}, options);
  command.add_option("file", options->words, "Files; - is stdin")->required();
  command.add_option("--hash", options->hash, "Block hash in hexadecimal (default: SHA-256)");
  command.add_option("--parent", options->parent, "Hash of the block before it, with --chained");
  command.add_option("--copies", options->call.copies, "Copies in distinct failure domains")
      ->check(CLI::Range(1u, 16u))
      ->capture_default_str();
  command.add_flag("--allow-less", options->call.allow_less,
                   "Accept fewer copies where failure domains are too few");
  on_run(command, chosen, options, run_put);
}

}  // namespace

void add_block_commands(CLI::App& app, Invocation& chosen) {
  add_put(app, chosen);
  const auto get = std::make_shared<BlockOptions>();
  CLI::App& get_command = add_block_command(app, chosen, {"get", "Fetch a block into a file"}, get);
  get_command.add_option("hash", get->words, "Block hash in hexadecimal")->required()->expected(1);
  get_command.add_option("--out", get->out, "File to write; - is stdout")->required();
  on_run(get_command, chosen, get, run_get);

  const auto match = std::make_shared<BlockOptions>();
  CLI::App& match_command = add_block_command(
      app, chosen, {"match", "Ask which blocks of a prefix are stored, and where"}, match);
  match_command.add_option("hash", match->words, "Block hashes in chain order")
      ->required()
      ->expected(1, kMatchHashesMax);
  on_run(match_command, chosen, match, run_match);
}

}  // namespace tarn::cli
