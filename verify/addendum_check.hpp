#pragma once

#include "messages/evidence/addendum.hpp"
#include "messages/evidence/receipt.hpp"

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

/// Whether what verifiers say about a receipt counts (docs/formats/addenda.md). Trusts none of
/// them: what does not count is told with whose word it is.
namespace ovir::compute {

/// What addenda are checked against.
struct addendum_subject {
  digest receipt; ///< `receipt_digest`
  std::size_t stages{0};
  std::uint32_t windows{0};
  std::set<node_id> parties; ///< who drove, computed, served or handed on: may audit nothing of it
};
/// `name`: the receipt's digest.
[[nodiscard]] addendum_subject subject_of(const receipt& r, const digest& name);

struct addendum_fault {
  enum class kind : std::uint8_t {
    unsigned_word, ///< it is not the word of the key that it names
    elsewhere,     ///< it is about another receipt
    party,         ///< its verifier took part in the answer
    no_unit,       ///< it is about a window that the receipt has not
    contradiction, ///< it says of a window the opposite of what its verifier said before
    repetition,    ///< its verifier said all of it before
  };
  kind what{kind::unsigned_word};
  std::string text;
  std::optional<node_id> by; ///< whose word it is; none where it bears no one's signature
};

/// `before`: what counts already.
[[nodiscard]] std::optional<addendum_fault> find_addendum_fault(const addendum& a,
                                                                const addendum_subject& about,
                                                                std::span<const addendum> before);

struct judged_addenda {
  std::vector<addendum> sound;
  std::vector<addendum_fault> faults;
};
/// Each in turn, against those before it that count.
[[nodiscard]] judged_addenda judge_addenda(const addendum_subject& about,
                                           std::span<const addendum> all);

} // namespace ovir::compute
