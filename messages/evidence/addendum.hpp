#pragma once

#include "messages/digest.hpp"
#include "messages/evidence/audit.hpp"
#include "messages/limits/addenda.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// The files of what verifiers signed about a receipt after it was closed
/// (docs/formats/addenda.md); `addendum` itself is in messages/evidence/audit.hpp.
namespace ovir {

/// What is signed of it: all but the signature.
[[nodiscard]] digest addendum_digest(const addendum& a);
/// Makes it the word of `key`'s owner.
void sign_addendum(addendum& a, const secret_key& key);
[[nodiscard]] bool verify_addendum(const addendum& a);
/// Ranges and order: what may be written and read. Not whether it is true.
[[nodiscard]] result<void> check(const addendum& a);

/// A Cap'n Proto message of one segment. `over_limit` beyond limits::addenda_per_receipt_max or
/// limits::addenda_bytes_max. Precondition: `check` of each.
[[nodiscard]] result<std::vector<std::byte>> encode_addenda(std::span<const addendum> all);
/// As `decode_audit`: one encoding, every count and length checked before memory is taken. All are
/// about one receipt.
[[nodiscard]] result<std::vector<addendum>> decode_addenda(std::span<const std::byte> bytes);

} // namespace ovir
