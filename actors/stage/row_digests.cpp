#include "actors/stage/row_digests.hpp"

#include "messages/check.hpp"
#include "messages/evidence/evidence.hpp"
#include "messages/limits/evidence.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <iterator>

namespace ovir::actors {

namespace {

constexpr std::uint32_t window_size = limits::window_positions;

} // namespace

row_digests row_digests::of_tokens() {
  row_digests made;
  made.of_tokens_ = true;
  return made;
}

row_digests row_digests::of_boundary(layer_index layer) {
  row_digests made;
  made.layer_ = layer;
  made.state_ = compute::unit_digests{{layer, layer + 1}};
  return made;
}

void row_digests::add(const frame_view& view, const frame_bytes& frame) {
  const frame_header& h = view.header;
  if (h.first > length_ && drafts_.frame != nullptr) {
    const auto earlier = decode_frame(*drafts_.frame);
    const std::uint32_t right = std::min(h.first, drafts_.first + drafts_.count) - length_;
    add_rows(*earlier, length_, right);
  }
  drafts_ = {};
  if (h.first > length_) {
    gap_ = true;
    return;
  }
  const std::uint32_t certain = h.count - h.drafts();
  if (h.first + certain > length_) {
    add_rows(view, length_, h.first + certain - length_);
  }
  if (h.drafts() > 0 && length_ == h.first + certain) {
    drafts_ = {frame, length_, h.drafts()};
  }
}

void row_digests::skip_to(std::uint32_t window) {
  OVIR_CHECK(tokens_.empty() && waiting_.empty() && length_ % window_size == 0 &&
                 window * window_size >= length_,
             window, length_);
  length_ = window * window_size;
  if (!of_tokens_) {
    state_.skip_to(window);
  }
}

void row_digests::add_rows(const frame_view& view, position first, std::uint32_t count) {
  const std::size_t skip = first - view.header.first;
  const position before = length_;
  if (of_tokens_) {
    length_ += count;
    const auto ids = view.tokens().subspan(skip, count);
    tokens_.insert(tokens_.end(), ids.begin(), ids.end());
    std::size_t done = 0;
    for (std::uint32_t w = before / window_size; (w + 1) * window_size <= length_; ++w) {
      windows_[w] = token_window_digest(w, std::span{tokens_}.subspan(done, window_size));
      done += window_size;
    }
    tokens_.erase(tokens_.begin(), tokens_.begin() + static_cast<std::ptrdiff_t>(done));
    return;
  }
  width_ = view.header.width;
  const auto rows = view.floats().subspan(skip * width_, std::size_t{count} * width_);
  if (keeps_) {
    keep(first, rows);
  }
  if (count >= limits::link_signature_positions) {
    hash_waiting();
    hash_rows(first, rows);
  } else {
    waiting_.insert(waiting_.end(), rows.begin(), rows.end());
  }
  length_ += count;
  constexpr std::uint32_t grain = limits::link_signature_positions;
  if (before / grain != length_ / grain) {
    hash_waiting(); // a window ends there, too
  }
}

void row_digests::keep(position first, std::span<const float> rows) {
  while (!rows.empty()) {
    const std::uint32_t window = first / window_size;
    const std::size_t rest = std::size_t{(window + 1) * window_size - first} * width_;
    const auto own = rows.first(std::min(rest, rows.size()));
    std::vector<float>& kept = kept_[window];
    kept.reserve(std::size_t{window_size} * width_);
    kept.insert(kept.end(), own.begin(), own.end());
    rows = rows.subspan(own.size());
    first += static_cast<position>(own.size() / width_);
  }
}

std::vector<float> row_digests::take_rows(std::uint32_t window, std::uint32_t positions) {
  const auto found = kept_.find(window);
  if (found == kept_.end()) {
    return {};
  }
  std::vector<float> rows = std::move(found->second);
  kept_.erase(kept_.begin(), std::next(found));
  return rows.size() == std::size_t{positions} * width_ ? rows : std::vector<float>{};
}

void row_digests::hash_rows(position first, std::span<const float> rows) {
  std::vector<compute::unit_leaf> done;
  state_.add(layer_, first, static_cast<std::uint32_t>(rows.size() / width_), rows, width_, done);
  for (const compute::unit_leaf& leaf : done) {
    windows_[leaf.unit.window] = leaf.boundary;
  }
}

void row_digests::hash_waiting() {
  if (!waiting_.empty()) {
    hash_rows(length_ - static_cast<position>(waiting_.size() / width_), waiting_);
    waiting_.clear();
  }
}

std::optional<digest> row_digests::at(std::uint32_t window, std::uint32_t positions) {
  if (positions == window_size) {
    const auto found = windows_.find(window);
    return found == windows_.end() ? std::nullopt : std::optional{found->second};
  }
  if (gap_ || length_ != window * window_size + positions) {
    return std::nullopt;
  }
  if (of_tokens_) {
    return token_window_digest(window, tokens_);
  }
  hash_waiting();
  const auto open = state_.open_leaves();
  return open.empty() ? std::nullopt : std::optional{open.front().boundary};
}

} // namespace ovir::actors
