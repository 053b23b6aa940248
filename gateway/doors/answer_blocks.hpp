#pragma once

#include "gateway/api/tool_call_reader.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ovir::gateway {

/// A text of an answer, or a call of a tool.
struct answer_block {
  bool is_call{false};
  std::string name{}; ///< of the tool
  std::string text{}; ///< or the call's arguments, as JSON, whole once it is closed
};

/// What happens to a block: it opens, grows, closes.
struct block_step {
  enum class kind : std::uint8_t { open, more, close };
  kind what{kind::open};
  std::size_t block{0};
  std::string more{};
};

/// Cuts an answer into blocks while it comes in. A core. One block is open at a time, and an empty
/// text is none.
class answer_blocks {
public:
  [[nodiscard]] std::vector<block_step> add(const tool_call_reader::pieces& more);
  /// The end: what is open closes.
  [[nodiscard]] std::vector<block_step> finish();

  [[nodiscard]] const std::vector<answer_block>& all() const noexcept { return blocks_; }
  /// Calls whose arguments are whole.
  [[nodiscard]] std::size_t calls() const;
  [[nodiscard]] static bool is_whole(const answer_block& call);

private:
  void close(std::vector<block_step>& steps);
  void grow(std::vector<block_step>& steps, const std::string& text);

  std::vector<answer_block> blocks_;
  bool open_{false};
};

} // namespace ovir::gateway
