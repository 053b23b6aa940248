#include "actors/weights/scrub_core.hpp"

namespace ovir::actors {

std::vector<scrub_core::piece> scrub_core::next(const std::vector<part>& parts, std::size_t count) {
  std::vector<piece> out;
  bool began_again = false;
  while (out.size() < count && !parts.empty()) {
    if (part_ >= parts.size()) {
      if (began_again) {
        break; // all of them are in this batch
      }
      began_again = true;
      part_ = 0;
      index_ = 0;
      ++rounds_;
    }
    const part& at = parts[part_];
    if (index_ >= at->list().size()) {
      ++part_;
      index_ = 0;
      continue;
    }
    const std::uint32_t index = index_++;
    if (!at->find(index).empty()) {
      out.push_back({at, index});
      ++checked_;
    }
  }
  return out;
}

} // namespace ovir::actors
