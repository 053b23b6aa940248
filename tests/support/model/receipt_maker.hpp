#pragma once

#include "messages/evidence/receipt.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace ovir::test {

/// Who takes part in a made-up request: a lead and its stages, each with a key of its own, and one
/// more who has no part in it. What they "compute" are digests of made-up bytes: enough for all
/// that needs no model.
class receipt_maker {
public:
  static constexpr std::uint32_t stages = 3; ///< of `honest`, with three layers each
  // Indices of keys; those below are the stages'.
  static constexpr std::size_t lead = 4;
  static constexpr std::size_t stranger = 5;

  struct shape {
    std::uint32_t stages{3};
    std::uint32_t layers{3}; ///< of each stage
    std::uint32_t prompt{70};
    std::uint32_t output{21};
    token_id first{17};
    bool choices{false}; ///< greedy, and the last stage states the tokens it chose
  };

  receipt_maker();

  [[nodiscard]] const secret_key& key(std::size_t who) const { return keys_[who]; }
  [[nodiscard]] const node_id& id(std::size_t who) const { return keys_[who].id(); }

  [[nodiscard]] receipt make(const shape& what) const;
  /// 70 prompt tokens, 21 drawn, three windows.
  [[nodiscard]] receipt honest() const { return make({}); }
  /// The same for a question that begins with another token.
  [[nodiscard]] receipt other_question() const { return make({3, 3, 70, 21, 18}); }
  /// Of few bytes.
  [[nodiscard]] receipt small() const { return make({2, 1, 3, 2, 17}); }
  [[nodiscard]] receipt small_greedy() const { return make({2, 1, 3, 2, 17, true}); }

  // What a forger with a valid key can do: state something else and sign it properly.

  /// Signs all that stage `which` of `r` says anew with key `who`.
  void sign_stage(receipt& r, std::size_t which, std::size_t who) const;
  void sign_stage(receipt& r, std::size_t which) const { sign_stage(r, which, which); }
  /// Stage `which` says of its unit that it is that of `author`, who signs what is stated.
  void cite(receipt& r, std::size_t which, layer_index layer, std::uint32_t window,
            std::size_t author) const;
  /// Signs again what stage `which` - 1 (the lead for the first) sent to `which`.
  void sign_link(receipt& r, std::size_t which) const;
  /// Signs the order and the closing of `r` anew with key `who`.
  void close(receipt& r, std::size_t who = lead) const;
  /// The lead takes the transcript that follows from the statements.
  void follow_statements(receipt& r) const;

private:
  [[nodiscard]] stage_records work_of(const receipt& r, const shape& what, std::uint32_t i) const;

  std::vector<secret_key> keys_;
};

} // namespace ovir::test
