#pragma once

#include "messages/digest.hpp"
#include "messages/signing.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

/// What an attacker says about audits, written by hand (docs/formats/audit.md).
namespace ovir::test {

/// A made-up layer output.
[[nodiscard]] digest invented(std::string_view what, std::uint64_t number = 0);
/// A key that no node ever heard of.
[[nodiscard]] secret_key throwaway(std::uint64_t number);

/// A conviction of `guilty` for the output of `layer` over `window`, with a receipt and a verdict
/// by each of `judges` who say that `computed` is right.
[[nodiscard]] std::vector<std::byte> accusation_bytes(const node_id& guilty, std::uint32_t window,
                                                      std::uint32_t layer, const digest& computed,
                                                      const std::vector<std::byte>& receipt,
                                                      const std::vector<const secret_key*>& judges);
/// A conviction of `guilty` by two receipts that contradict one another there.
[[nodiscard]] std::vector<std::byte> contradiction_bytes(const node_id& guilty,
                                                         std::uint32_t window, std::uint32_t layer,
                                                         const std::vector<std::byte>& one,
                                                         const std::vector<std::byte>& other);
/// A receipt for an audit.
[[nodiscard]] std::vector<std::byte> offer_bytes(bool suspect,
                                                 const std::vector<std::byte>& receipt);

} // namespace ovir::test
