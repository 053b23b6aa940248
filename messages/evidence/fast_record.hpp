#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// What was computed in the profile `fast`, which no digest can be compared for: the rows
/// themselves, signed. docs/formats/fast-record.md is the format.
namespace ovir {

struct fast_record {
  digest model; ///< its name
  std::uint32_t layers{0};
  std::uint32_t dim{0};
  std::uint32_t prompt{0};      ///< of the tokens, how many were asked
  std::vector<token_id> tokens; ///< prompt and output
  std::vector<float> rows;      ///< boundaries, [layers][positions][dim]
  node_id node;                 ///< who computed it
  std::string software;
  signature proof;

  /// Positions computed: all tokens but the last, which was drawn and not fed.
  [[nodiscard]] std::uint32_t positions() const noexcept {
    return static_cast<std::uint32_t>(tokens.size()) - 1;
  }
  friend bool operator==(const fast_record&, const fast_record&) = default;
};

/// What is signed: all of it but the signature.
[[nodiscard]] digest fast_record_digest(const fast_record& r);
void sign(fast_record& r, const secret_key& key);
[[nodiscard]] bool is_signed(const fast_record& r);

[[nodiscard]] std::vector<std::byte> encode_fast_record(const fast_record& r);
/// `malformed`, `unsupported` (another version) or `over_limit`.
[[nodiscard]] result<fast_record> decode_fast_record(std::span<const std::byte> bytes);
[[nodiscard]] result<void> check(const fast_record& r);
[[nodiscard]] bool is_fast_record(std::span<const std::byte> bytes) noexcept;

} // namespace ovir
