#include "actors/members/gossip_queue.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace ovir::actors {

void gossip_queue::push(signed_update update) {
  const node_id subject = subject_of(update);
  const std::uint64_t incarnation = incarnation_of(update);
  const bool by_subject = !std::holds_alternative<signed_suspicion>(update);
  std::erase_if(items_, [&](const item& i) {
    return subject_of(i.update) == subject &&
           (i.update.index() == update.index() ||
            (by_subject && incarnation_of(i.update) < incarnation));
  });
  const std::size_t bytes = encoded_bytes(update);
  items_.push_back({std::move(update), bytes, 0, pushed_++});
}

void gossip_queue::drop_suspicion(const node_id& subject) {
  std::erase_if(items_, [&subject](const item& i) {
    return std::holds_alternative<signed_suspicion>(i.update) && subject_of(i.update) == subject;
  });
}

void gossip_queue::forget(const node_id& subject) {
  std::erase_if(items_, [&subject](const item& i) { return subject_of(i.update) == subject; });
}

std::vector<signed_update> gossip_queue::take(const node_id& to, std::size_t members,
                                              std::size_t count, std::size_t bytes) {
  std::sort(items_.begin(), items_.end(), [](const item& a, const item& b) {
    return a.told != b.told ? a.told < b.told : a.number > b.number;
  });
  std::vector<signed_update> out;
  for (item& i : items_) {
    if (out.size() == count) {
      break;
    }
    const bool own_advert =
        std::holds_alternative<signed_advert>(i.update) && subject_of(i.update) == to;
    if (own_advert) {
      ++i.told; // it knows
      continue;
    }
    if (i.bytes > bytes) {
      continue;
    }
    bytes -= i.bytes;
    ++i.told;
    out.push_back(i.update);
  }
  std::erase_if(items_, [limit = tellings(members)](const item& i) { return i.told >= limit; });
  return out;
}

std::uint32_t gossip_queue::tellings(std::size_t members) noexcept {
  return 3 * static_cast<std::uint32_t>(std::bit_width(members));
}

} // namespace ovir::actors
