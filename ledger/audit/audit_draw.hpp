#pragma once

#include "ledger/rules/deterrence.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

/// Which units are audited: a draw that nobody can choose. The auditor committed to its part before
/// there was any work, the signed head is others' doing, and neither is known to who computes.
namespace ovir::ledger {

/// An auditor's chain of digests, c[i] = H(c[i + 1]) down to c[0], its anchor, which is published
/// before the first use. Links are used in order, 1 first: whoever knows link i can check link
/// i + 1 and cannot guess it. Keeps every 256th digest and computes those between again.
class hash_chain {
public:
  /// `seed`: secret, of 32 random bytes. `invalid_argument` unless 1 <= links <=
  /// limits::audit_chain_links_max.
  [[nodiscard]] static result<hash_chain> make(const digest& seed, std::uint32_t links);

  [[nodiscard]] const digest& anchor() const noexcept { return anchor_; }
  [[nodiscard]] std::uint32_t links() const noexcept { return links_; }
  /// Link `index`, 1 to `links()`; 0 is the anchor. `over_limit` beyond: a new chain is needed.
  [[nodiscard]] result<digest> link(std::uint32_t index) const;

private:
  hash_chain() = default;
  digest anchor_;
  std::vector<digest> marks_; ///< links links_, links_ - 256, ...
  std::uint32_t links_{0};
};

/// Whether `link` is the `index`th behind `anchor`.
[[nodiscard]] bool follows(const digest& anchor, std::uint32_t index, const digest& link);

/// H(link, head, unit): uniform over 64 bits. `head` is a signed digest that binds the statement of
/// the unit: of the ledger's head, or of the closing of the receipt it is in. `unit` is its key.
[[nodiscard]] std::uint64_t audit_draw(const digest& link, const digest& head, const digest& unit);

/// Whether a draw falls within `rate_ppm` parts per million of all: 10^6 takes every unit.
[[nodiscard]] bool is_sampled(std::uint64_t drawn, std::uint64_t rate_ppm) noexcept;

/// Which of `drawn` windows, all of one receipt, a known answer is asked about, if any: each is as
/// likely as a small part `rate_ppm` of them to be the one, wherever it lies. Never two, as a
/// receipt seldom has two lies. `chance` is uniform over 64 bits.
[[nodiscard]] std::optional<std::size_t> planted_among(std::size_t drawn, std::uint64_t rate_ppm,
                                                       std::uint64_t chance) noexcept;

/// a_min: the least audit rate at which `examine` finds that cheating does not pay, in ppm;
/// `audit_rate_ppm` of `t` is not looked at. `invalid_argument` with advice where no rate does.
[[nodiscard]] result<std::uint64_t> least_audit_rate_ppm(deterrence_terms t);

} // namespace ovir::ledger
