#pragma once

#include "compute/model/transcript.hpp"
#include "compute/text/sampler.hpp"
#include "messages/evidence/compact_receipt.hpp"
#include "messages/evidence/known_signatures.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/node_id.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

/// Tier T0: checks a receipt against itself, without the model. Trusts nobody: every failure names
/// who signed what is wrong, and the unit. docs/formats/receipt.md, "What is checked".
namespace ovir::compute {

/// Who may sign. By default nobody is known, and no receipt passes.
struct signer_policy {
  enum class kind : std::uint8_t { unknown, any, listed };
  kind who{kind::unknown};
  std::set<node_id> listed;
};

/// One thing found wrong.
struct receipt_failure {
  std::string what;
  std::optional<node_id> signer; ///< whose word is wrong; nobody's where nobody signed it
  std::optional<unit_name> unit; ///< a window, and the first layer of what is wrong in it
  std::optional<position> at;    ///< where it is about one position
};

/// Form, signatures, chain from boundary to boundary, coverage, transcript and policy. Empty when
/// all is well. Cost: three signatures per stage and window, and a few hashes per unit. With
/// `known`, which who closes a receipt has, those signatures alone that are not in it.
[[nodiscard]] std::vector<receipt_failure>
check_receipt(const receipt& r, const signer_policy& policy, known_signatures* known = nullptr);

/// The same for a compact receipt, as far as it goes: who signed what about the last windows, that
/// the lead closed it, and that the stages tile the model.
[[nodiscard]] std::vector<receipt_failure> check_receipt(const compact_receipt& c,
                                                         const signer_policy& policy);

/// The logits digests a receipt's last stage states, by position; those of its statements alone.
struct stated_draws {
  position first{0};
  std::vector<digest> logits;
  std::vector<std::optional<token_id>> choices; ///< of each: what the last stage told its lead
};
[[nodiscard]] stated_draws draws_of(const receipt& r);
/// The transcript digest that follows from what the stages of `r` state. Precondition:
/// `check_receipt` found nothing wrong with their form. An error says what is missing.
[[nodiscard]] result<digest> transcript_of(const receipt& r);

/// The matcher of a receipt's request; null where every token may come. `unsupported` without
/// `words`.
[[nodiscard]] result<std::unique_ptr<token_matcher>> matcher_of(const receipt& r,
                                                                const token_trie* words);

/// Checks revealed rows of logits: each is the one stated, and the token after it follows from it.
/// A row is of position `draws_of(r).first + index`. Precondition: `check_receipt` is empty.
class draw_checker {
public:
  /// An error where the sampling parameters are outside their ranges. `words`: of the model; a
  /// constrained answer cannot be checked without them (`unsupported`). They outlive the checker.
  [[nodiscard]] static result<draw_checker> make(const receipt& r,
                                                 const token_trie* words = nullptr);
  [[nodiscard]] std::optional<receipt_failure> check(std::size_t index, std::span<const float> row);
  /// Rows that a token was drawn from.
  [[nodiscard]] std::size_t draws() const noexcept { return output_; }

private:
  draw_checker() = default;
  node_id lead_;
  node_id last_; ///< stage
  stated_draws stated_;
  std::vector<token_id> tokens_;
  std::size_t prompt_{0};
  std::size_t output_{0};
  sampling_params how_;
  std::unique_ptr<token_matcher> matcher_; ///< where not every token may come; else null
};

} // namespace ovir::compute
