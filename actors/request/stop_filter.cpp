#include "actors/request/stop_filter.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

/// Bytes at the end of `text` that begin `stop` without completing it.
std::size_t partial_match(std::string_view text, std::string_view stop) {
  for (std::size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n) {
    if (text.substr(text.size() - n) == stop.substr(0, n)) {
      return n;
    }
  }
  return 0;
}

} // namespace

stop_filter::stop_filter(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& s) { return s.empty(); });
}

std::string stop_filter::add(std::string_view text) {
  if (stopped_) {
    return {};
  }
  held_ += text;
  std::size_t cut = std::string::npos;
  std::size_t keep = 0;
  for (const std::string& stop : stops_) {
    cut = std::min(cut, held_.find(stop));
    keep = std::max(keep, partial_match(held_, stop));
  }
  if (cut != std::string::npos) {
    stopped_ = true;
    return std::exchange(held_, {}).substr(0, cut);
  }
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return shown;
}

std::string stop_filter::finish() { return std::exchange(held_, {}); }

} // namespace ovir::actors
