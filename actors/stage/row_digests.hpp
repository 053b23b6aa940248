#pragma once

#include "actors/protocol/protocol.hpp"
#include "compute/model/transcript.hpp"
#include "messages/wire/frame.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace ovir::actors {

/// Digests of rows of frames, window by window, as rows become certain: what was a guess in an
/// earlier frame is certain where a later one begins behind it. Of token ids or of boundaries.
/// Holds a frame with guesses, not a copy of them.
class row_digests {
public:
  row_digests() = default;
  /// Of token ids.
  [[nodiscard]] static row_digests of_tokens();
  /// Of the boundary behind `layer`.
  [[nodiscard]] static row_digests of_boundary(layer_index layer);

  void add(const frame_view& view, const frame_bytes& frame);
  /// Keeps rows, too, from here on, until they are taken. Of boundaries.
  void keep_rows() { keeps_ = true; }
  /// The certain rows of a window, [positions][width]; empty where not all of its first `positions`
  /// were kept. They are kept no more.
  [[nodiscard]] std::vector<float> take_rows(std::uint32_t window, std::uint32_t positions);
  /// Goes on where `window` begins, the windows before being known otherwise. Precondition: no
  /// window is begun.
  void skip_to(std::uint32_t window);
  void know(std::uint32_t window, const digest& value) { windows_[window] = value; }
  void forget(std::uint32_t window) { windows_.erase(window); }

  /// Rows that are certain.
  [[nodiscard]] position length() const noexcept { return length_; }
  /// Of the first `positions` rows of the window that `length` is in, or of a complete one. Nothing
  /// where a row was missed.
  [[nodiscard]] std::optional<digest> at(std::uint32_t window, std::uint32_t positions);

private:
  struct draft_rows { ///< the rows of a frame that are guesses
    frame_bytes frame;
    position first{0};
    std::uint32_t count{0};
  };
  void add_rows(const frame_view& view, position first, std::uint32_t count);
  void hash_rows(position first, std::span<const float> rows);
  void hash_waiting();
  void keep(position first, std::span<const float> rows);

  compute::unit_digests state_;
  std::vector<token_id> tokens_; ///< of the window begun, instead of rows
  bool of_tokens_{false};
  layer_index layer_{0};
  position length_{0};
  draft_rows drafts_;
  std::map<std::uint32_t, digest> windows_; ///< complete ones
  bool gap_{false};                         ///< a row was missed: nothing can be said any more
  /// Rows below `length_` that `state_` lacks: several at once are hashed in a fraction of the
  /// time.
  std::vector<float> waiting_;
  std::uint32_t width_{0};
  bool keeps_{false};
  std::map<std::uint32_t, std::vector<float>> kept_; ///< rows by window
};

} // namespace ovir::actors
