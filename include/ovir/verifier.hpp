#pragma once

#include <ovir/engine.hpp>
#include <ovir/error.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The checks of `ovir-verify`.
namespace ovir::OVIR_INLINE v0 {

/// Whose signatures count. No signature counts unless the caller says whose do.
struct signers {
  std::vector<std::string> keys{};     ///< of 64 hexadecimal digits
  bool any{false};                     ///< any signer; contradicts the others
  std::filesystem::path ledger_head{}; ///< a file with a ledger's signed head
  std::filesystem::path ledger_log{};  ///< its log; empty: the file `log` beside the head
};

/// One thing found wrong, and where.
struct verify_failure {
  std::string what;
  std::string signer{}; ///< the key whose word is wrong; empty where no one signed it
  std::optional<std::uint32_t> window{};
  std::optional<std::uint32_t> layer{};
  std::optional<std::uint32_t> position{};
};

struct verdict {
  std::string tier; ///< "T0": checked against itself; "T2": all was computed again
  std::vector<verify_failure> failures;
  std::string transcript; ///< the digest that was stated

  [[nodiscard]] bool ok() const noexcept { return failures.empty(); }
  explicit operator bool() const noexcept { return ok(); }
};

/// Checks a receipt against itself: form, all signatures, the chain from stage to stage, coverage
/// and transcript. Throws `error` "malformed" for what is no receipt.
[[nodiscard]] OVIR_API verdict verify_receipt(std::span<const std::byte> receipt,
                                              const signers& who);
/// Likewise, and where that finds nothing, computes everything again with the model and names the
/// first unit that differs, with who signed it.
[[nodiscard]] OVIR_API verdict verify_receipt(std::span<const std::byte> receipt,
                                              const signers& who, const model& with);

/// The same for the text of a file by `ovir run --transcript`, which no one signs.
[[nodiscard]] OVIR_API verdict verify_transcript(std::string_view text);
[[nodiscard]] OVIR_API verdict verify_transcript(std::string_view text, const model& with);

} // namespace ovir::OVIR_INLINEv0
