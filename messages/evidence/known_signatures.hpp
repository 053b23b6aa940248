#pragma once

#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "messages/signing.hpp"

#include <cstdint>
#include <set>

namespace ovir {

/// What a signature of evidence is for; each has a domain of its own
/// (messages/evidence/evidence.hpp).
enum class signed_as : std::uint8_t { order, commitment, statement, link, closing };

/// Whether `by` signed `what` as that, by Ed25519.
[[nodiscard]] bool verify(signed_as kind, const node_id& by, const digest& what,
                          const signature& s);

/// Signatures that this process made or verified, so that it need not verify them once more when it
/// closes a receipt (docs/adr/0013-evidence.md). Remembered is a digest over kind,
/// signer, what is signed and the signature: what differs in one bit is verified. One that does not
/// hold is not remembered. The oldest are forgotten first, beyond `limits::known_signatures_max`.
/// One thread at a time.
class known_signatures {
public:
  [[nodiscard]] signature sign(signed_as kind, const secret_key& key, const digest& what);
  /// As `verify`.
  [[nodiscard]] bool holds(signed_as kind, const node_id& by, const digest& what,
                           const signature& s);
  /// How often Ed25519 had to tell.
  [[nodiscard]] std::uint64_t verified() const noexcept { return verified_; }
  /// Signatures remembered: at most twice the limit.
  [[nodiscard]] std::size_t size() const noexcept { return recent_.size() + earlier_.size(); }

private:
  void remember(const digest& name);
  [[nodiscard]] bool knows(const digest& name) const;

  std::set<digest> recent_;
  std::set<digest> earlier_; ///< dropped when `recent_` is full
  std::uint64_t verified_{0};
};

} // namespace ovir
