#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ovir::actors {

/// Cuts a stream of text before the first stop string. Text that could be the beginning of one is
/// held back until it is decided. A value; one per stream.
class stop_filter {
public:
  explicit stop_filter(std::vector<std::string> stops);

  /// Text that may be shown now. Nothing more once `stopped()`.
  [[nodiscard]] std::string add(std::string_view text);
  /// What was held back at the end of a stream that did not stop.
  [[nodiscard]] std::string finish();
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }

private:
  std::vector<std::string> stops_; // none empty
  std::string held_;
  bool stopped_{false};
};

} // namespace ovir::actors
