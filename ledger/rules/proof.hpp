#pragma once

#include "ledger/log/head.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <variant>
#include <vector>

/// What a ledger's keepers hand out for others to check without its log, and without trusting it
/// (docs/formats/ledger-log.md): `ovir ledger prove` and `head` write it, `ovir-verify` reads it.
namespace ovir::ledger {

/// An entry's own bytes, and that it is in the log of a head.
struct entry_proof {
  std::vector<std::byte> entry;
  inclusion in;
  signed_head head;
};

/// That the log of the second head begins with all of the first one's.
struct consistency {
  signed_head first;
  signed_head second;
  std::vector<digest> path;
};

using any_proof =
    std::variant<signed_head, acknowledgement, fork_evidence, consistency, entry_proof>;

[[nodiscard]] std::vector<std::byte> to_bytes(const consistency& c);
[[nodiscard]] std::vector<std::byte> to_bytes(const entry_proof& p);
[[nodiscard]] result<consistency> consistency_from(std::span<const std::byte> bytes);
[[nodiscard]] result<entry_proof> entry_proof_from(std::span<const std::byte> bytes);

/// Whether bytes begin like any of them.
[[nodiscard]] bool begins_like_proof(std::span<const std::byte> bytes) noexcept;
/// `malformed`, `unsupported` or `over_limit` for anything else.
[[nodiscard]] result<any_proof> proof_from(std::span<const std::byte> bytes);

/// What is wrong with it; empty when all is well. Who the keepers are, the caller knows, but for
/// the proof of a ledger's first entry, which says it. Fork evidence is well when it convicts.
[[nodiscard]] std::vector<std::string> check_proof(const any_proof& p);
/// The heads in it, the latest last.
[[nodiscard]] std::vector<signed_head> heads_in(const any_proof& p);

} // namespace ovir::ledger
