#include "gateway/doors/answer_blocks.hpp"

#include "gateway/http/bounded_json.hpp"

#include <algorithm>

namespace ovir::gateway {

void answer_blocks::close(std::vector<block_step>& steps) {
  if (open_) {
    steps.push_back({block_step::kind::close, blocks_.size() - 1, {}});
    open_ = false;
  }
}

void answer_blocks::grow(std::vector<block_step>& steps, const std::string& text) {
  if (!text.empty()) {
    blocks_.back().text += text;
    steps.push_back({block_step::kind::more, blocks_.size() - 1, text});
  }
}

std::vector<block_step> answer_blocks::add(const tool_call_reader::pieces& more) {
  std::vector<block_step> steps;
  const auto open = [&](answer_block block) {
    close(steps);
    blocks_.push_back(std::move(block));
    open_ = true;
    steps.push_back({block_step::kind::open, blocks_.size() - 1, {}});
  };
  if (!more.content.empty()) {
    if (!open_ || blocks_.back().is_call) {
      open({});
    }
    grow(steps, more.content);
  }
  for (const tool_call_reader::call_piece& piece : more.calls) {
    if (!piece.name.empty()) {
      open({true, piece.name, {}});
    }
    if (open_ && blocks_.back().is_call) {
      grow(steps, piece.arguments);
    }
  }
  return steps;
}

std::vector<block_step> answer_blocks::finish() {
  std::vector<block_step> steps;
  close(steps);
  return steps;
}

bool answer_blocks::is_whole(const answer_block& call) {
  return call.is_call && json::accept(call.text);
}

std::size_t answer_blocks::calls() const {
  return static_cast<std::size_t>(std::count_if(blocks_.begin(), blocks_.end(), is_whole));
}

} // namespace ovir::gateway
