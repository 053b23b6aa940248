#pragma once

#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ovir::gateway {

/// The id of a key and an id that its client knows: the same id of another key is another request,
/// so that no client learns of one, reads one or stops one that is not its own.
using owned_id = std::pair<std::string, request_id>;

/// The latest receipts of answers, at most limits::api_receipts_bytes_max beside the last one.
class receipt_shelf {
public:
  using receipt_pointer = std::shared_ptr<const result<std::vector<std::byte>>>;

  /// Null, or why there is none: nothing is kept.
  void keep(const owned_id& answer, const receipt_pointer& receipt);
  /// Null: none is here.
  [[nodiscard]] const std::vector<std::byte>* find(const owned_id& answer) const;
  [[nodiscard]] receipt_pointer share(const owned_id& answer) const;

private:
  std::map<owned_id, receipt_pointer> receipts_; ///< each holds bytes
  std::deque<owned_id> order_;                   ///< oldest first
  std::size_t bytes_{0};
};

} // namespace ovir::gateway
