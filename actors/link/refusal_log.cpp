#include "actors/link/refusal_log.hpp"

#include <fmt/format.h>

#include <utility>

namespace ovir::actors {

std::optional<std::string> refusal_log::refused(const node_id& node, const std::string& why,
                                                std::uint64_t now) {
  constexpr auto every = static_cast<std::uint64_t>(limits::refusal_told_every.count());
  // A clock that was set back begins anew.
  std::erase_if(told_, [&](const auto& t) { return t.second > now || now - t.second >= every; });
  if (told_.contains(node) || told_.size() >= limits::refusals_told_max) {
    ++left_out_;
    return std::nullopt;
  }
  told_[node] = now;
  const std::uint64_t left_out = std::exchange(left_out_, 0);
  return left_out == 0 ? fmt::format("refused {}: {}", short_name(node), why)
                       : fmt::format("refused {}: {} ({} more refusals are not told)",
                                     short_name(node), why, left_out);
}

} // namespace ovir::actors
