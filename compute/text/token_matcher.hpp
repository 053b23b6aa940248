#pragma once

#include "compute/text/byte_reader.hpp"
#include "compute/text/constraint.hpp"
#include "compute/text/token_trie.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ovir::compute {

/// Which tokens may be drawn: bit `id % 64` of word `id / 64`.
using token_mask = std::span<const std::uint64_t>;

/// Says of every prefix of an answer which tokens may come next so that the answer becomes one that
/// its constraint allows, and complete within its tokens (docs/formats/constraint.md). A function
/// of the constraint, the vocabulary and the tokens so far: whoever goes on with a request, or
/// checks it, finds the same.
class token_matcher {
public:
  /// `text`: a constraint as it is written. Errors of `constraint::make`; `unsupported` where the
  /// vocabulary cannot end or spell such an answer, `over_limit` where it cannot be done within
  /// the constraint's tokens. `words` outlives the matcher.
  [[nodiscard]] static result<std::unique_ptr<token_matcher>> make(std::string_view text,
                                                                   const token_trie& words);

  /// The tokens that may follow `output`, at least one; nothing where `output` is already none the
  /// constraint allows, or longer. Valid until the next call. Cheap where `output` continues that
  /// of the call before.
  [[nodiscard]] std::optional<token_mask> allowed(std::span<const token_id> output);

  /// Bytes of the shortest answer.
  [[nodiscard]] std::uint32_t shortest() const { return reader_.distance(reader_.start()); }

private:
  struct mask {
    std::vector<std::uint64_t> bits;
    std::uint32_t farthest{0}; ///< the most bytes that are left behind one of them
  };

  token_matcher(std::shared_ptr<const constraint> what, const token_trie& words);
  void follow(token_id id);
  [[nodiscard]] mask find(byte_reader::place at, std::uint32_t distance_max);

  std::shared_ptr<const constraint> what_;
  const token_trie& words_;
  byte_reader reader_;
  std::vector<token_id> output_;
  byte_reader::place at_;
  std::unordered_map<byte_reader::place, mask> masks_;
  mask narrow_; ///< near the end, where not all that fits can be completed
  std::vector<byte_reader::place> path_;
};

} // namespace ovir::compute
