#include "actors/group/group_pass.hpp"

#include "compute/parts/crossing.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace ovir::actors {

using compute::crossing_kind;
using compute::part_stop;

static_assert(static_cast<int>(group_kind::queries_keys) ==
                      static_cast<int>(crossing_kind::queries_keys) &&
                  static_cast<int>(group_kind::rows) == static_cast<int>(crossing_kind::rows) &&
                  static_cast<int>(group_kind::logits) == static_cast<int>(crossing_kind::logits),
              "kinds on the wire are those of crossings");

group_pass::group_pass(const group_seat& seat, compute::segment_part& part, group_links& links)
    : seat_(seat), part_(part), links_(links),
      exchange_(seat.group, seat.self, part.cut().members.size(), seat.patience) {}

std::uint32_t group_pass::members() const noexcept {
  return static_cast<std::uint32_t>(part_.cut().members.size());
}

void group_pass::send(std::uint32_t to, group_header header, std::span<const std::byte> payload) {
  header.group = seat_.group;
  header.member = static_cast<std::uint16_t>(seat_.self);
  links_.send(to, std::make_shared<const std::vector<std::byte>>(encode_group(header, payload)));
}

result<void> group_pass::sort(const group_links::letter& letter) {
  const auto view = decode_group(*letter.message);
  if (!view) {
    return in_context(fmt::format("member {} of group {}", letter.from, seat_.group), view.error());
  }
  if (crosses(view->header.kind)) {
    const auto taken = exchange_.receive(letter.from, *view, letter.message);
    return taken ? result<void>{} : taken.error();
  }
  if (view->header.group != seat_.group || view->header.member != letter.from ||
      orders_.size() >= limits::group_orders_max) {
    return fail(errc::malformed,
                "member {} of group {} sent a word of another group, in another's name, or one too "
                "many",
                letter.from, seat_.group);
  }
  orders_.push_back({letter.from, letter.message, *view});
  return {};
}

// A member that leaves, or the leader that ends the group, says so.
result<void> group_pass::check_whole() const {
  if (!orders_.empty() && orders_.back().view.header.kind == group_kind::part) {
    return fail(errc::cancelled, "member {} of group {} left it", orders_.back().from, seat_.group);
  }
  return {};
}

result<void> group_pass::exchange(std::uint64_t pass, std::uint32_t step, std::uint32_t rows) {
  const std::span<const std::byte> outgoing = part_.outgoing();
  const auto own = std::make_shared<const std::vector<std::byte>>(outgoing.begin(), outgoing.end());
  const compute::crossing_place& at = part_.place();
  const exchange_step here{pass, step, at.layer, static_cast<std::uint32_t>(at.block),
                           static_cast<group_kind>(at.kind)};
  OVIR_ASSIGN(const group_header header,
              exchange_.open(here, rows,
                             compute::crossing_width(part_.config(), part_.cut(), seat_.self, at),
                             own, links_.now()));
  const auto whole = std::make_shared<const std::vector<std::byte>>(encode_group(header, *own));
  for (std::uint32_t i = 0; i < members(); ++i) {
    if (i != seat_.self) {
      links_.send(i, whole);
    }
  }
  while (!exchange_.complete()) {
    OVIR_ASSIGN(const std::optional<group_links::letter> letter,
                links_.receive(*exchange_.deadline()));
    if (letter) {
      OVIR_TRY(sort(*letter));
      OVIR_TRY(check_whole());
    } else if (const auto over = exchange_.expired(links_.now())) {
      return *over;
    }
  }
  const auto all = exchange_.all();
  OVIR_TRY(part_.take(all));
  if (crossed_) {
    crossed_(at, part_.form(), all);
  }
  return {};
}

result<void> group_pass::run(std::uint64_t pass, std::uint32_t rows,
                             compute::parallel_runner& runner,
                             const std::function<void(layer_index)>& layer_ended) {
  exchange_.begin(pass);
  std::uint32_t step = 0;
  for (part_stop stop = part_.advance(runner); stop != part_stop::done;
       stop = part_.advance(runner)) {
    if (stop == part_stop::exchange) {
      OVIR_TRY(exchange(pass, step++, rows));
    } else if (layer_ended) {
      layer_ended(part_.place().layer);
    }
  }
  return {};
}

result<std::optional<group_pass::order>> group_pass::next_order(group_links::time_point until) {
  while (orders_.empty()) {
    OVIR_ASSIGN(const std::optional<group_links::letter> letter, links_.receive(until));
    if (letter) {
      OVIR_TRY(sort(*letter));
    } else if (links_.now() >= until) {
      return std::optional<order>{};
    }
  }
  order next = std::move(orders_.front());
  orders_.pop_front();
  return std::optional<order>{std::move(next)};
}

result<group_pass::order> group_pass::answer(group_kind kind, std::uint32_t from,
                                             std::uint64_t pass) {
  const auto until = links_.now() + seat_.patience;
  const auto wanted = [&](const order& o) {
    return o.from == from && o.view.header.kind == kind && o.view.header.pass == pass;
  };
  for (;;) {
    const auto found = std::find_if(orders_.begin(), orders_.end(), wanted);
    if (found != orders_.end()) {
      order one = std::move(*found);
      orders_.erase(found);
      return one;
    }
    OVIR_ASSIGN(const std::optional<group_links::letter> letter, links_.receive(until));
    if (letter) {
      OVIR_TRY(sort(*letter));
      OVIR_TRY(check_whole());
    } else if (links_.now() >= until) {
      return fail(
          errc::timed_out,
          "member {} of group {} does not answer in pass {}; the group is formed without it", from,
          seat_.group, pass);
    }
  }
}

} // namespace ovir::actors
