#include "actors/weights/scrub_core.hpp"

#include <utility>

namespace ovir::actors {

std::vector<scrub_core::piece> scrub_core::next(const std::vector<part>& parts, std::size_t count,
                                                std::uint64_t bytes_max) {
  std::vector<piece> out;
  bool began_again = false;
  std::uint64_t bytes = 0;
  while (out.size() < count && bytes < bytes_max && !parts.empty()) {
    if (part_ >= parts.size()) {
      part_ = 0;
      index_ = 0;
      ++rounds_;
      if (!out.empty() || std::exchange(began_again, true)) {
        break; // no piece twice in a batch
      }
    }
    const part& at = parts[part_];
    if (index_ >= at->list().size()) {
      ++part_;
      index_ = 0;
      continue;
    }
    const std::uint32_t index = index_++;
    if (const auto content = at->find(index); !content.empty()) {
      out.push_back({at, index});
      bytes += content.size();
      ++checked_;
    }
  }
  return out;
}

} // namespace ovir::actors
