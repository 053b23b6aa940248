#include "actors/group/group_keeper.hpp"

#include "messages/limits/parts.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ovir::actors {

namespace {

using namespace std::chrono_literals;

/// How long named nodes that are not there are waited for at first.
constexpr std::chrono::seconds settle_wait{5};
/// How long members may take to make their parts, which reads them.
constexpr std::chrono::minutes forming_wait{2};
/// Between two looks for members where there are too few, or a group does not pay.
constexpr std::chrono::milliseconds look_pause{1'000};
/// After a loss; each further one doubles it, up to the most.
constexpr std::chrono::milliseconds first_pause{2'000};
constexpr std::chrono::milliseconds last_pause{60'000};
/// Of a port, as plans of paths assume it: a gigabit a second.
constexpr double assumed_bandwidth = 125e6;
/// Requests for which members need memory.
constexpr std::uint32_t requests_expected = 4;
constexpr double micro = 1e-6;
constexpr double unmeasured_speed = 1e9; // shares are equal then

/// Half a round trip between two nodes, as either says it; 0 where neither has measured it.
double delay_between(const member& a, const member& b) {
  const auto told = [](const member& from, const node_id& to) {
    const auto found = std::ranges::find(from.advert.rtts, to, &measured_rtt::node);
    return found == from.advert.rtts.end() ? 0.0 : found->microseconds * micro / 2;
  };
  return std::max(told(a, b.node), told(b, a.node));
}

bool holds(const node_advert& advert, const digest& model, layer_range layers) {
  return std::ranges::any_of(advert.held, [&](const held_segment& held) {
    return held.model == model && held.layers.first <= layers.first &&
           held.layers.last >= layers.last;
  });
}

double speed_or(std::uint64_t measured, double otherwise) {
  return measured > 0 ? static_cast<double>(measured) : otherwise;
}

} // namespace

group_keeper::group_keeper(surroundings around) : around_(std::move(around)) {}

// Where this group is the next one.
group_keeper::led_group* group_keeper::next_of(const place& where, std::uint64_t group) {
  const auto found = led_.find(where);
  return found != led_.end() && found->second.next.number == group ? &found->second : nullptr;
}

void group_keeper::tell(led_group& led, const std::string& why) {
  if (led.told != why) {
    led.told = why;
    around_.log(why);
  }
}

// Those that could be members beside this node.
std::vector<const member*> group_keeper::able(const led_group& led,
                                              std::span<const member> members) const {
  std::vector<const member*> list;
  for (const member& m : members) {
    const group_wish& wants = around_.wants;
    const bool wanted = std::ranges::find(wants.named, m.node) != wants.named.end() ||
                        (wants.chooses && around_.may_choose(m.node));
    if (wanted && m.node != around_.self && m.health == member_health::alive &&
        !m.advert.draining && holds(m.advert, led.model->id, led.model->held) &&
        around_.linked(m.node) && list.size() + 1 < limits::group_candidates_max) {
      list.push_back(&m);
    }
  }
  return list;
}

// This node first, then the others.
group_question group_keeper::question_for(const led_group& led,
                                          std::span<const member* const> others,
                                          std::span<const member> members) const {
  group_question q;
  q.model = &led.model->weights;
  q.layers = led.model->held;
  q.context = std::clamp<std::uint32_t>(led.model->context, 1, limits::context_max);
  q.requests = requests_expected;
  q.prefill_rows =
      std::clamp<std::uint32_t>(led.model->prefill_chunk, 1, limits::prefill_chunk_max);
  q.leader = 0;
  const auto self = std::ranges::find(members, around_.self, &member::node);
  const auto add = [&](const std::string& name, const node_advert& advert, double decode,
                       double prefill) {
    q.nodes.push_back({name, advert.memory_bytes, decode, prefill, 0, assumed_bandwidth});
  };
  const double decode = decode_alone_ > 0 ? decode_alone_ : unmeasured_speed;
  const double prefill = prefill_alone_ > 0 ? prefill_alone_ : unmeasured_speed;
  add("this node", self == members.end() ? node_advert{} : self->advert, decode, prefill);
  if (self == members.end()) {
    q.nodes.front().memory = led.model->held_bytes * 2;
  }
  for (const member* const m : others) {
    add(m->advert.name, m->advert, speed_or(m->advert.decode_bytes_per_second, decode),
        speed_or(m->advert.prefill_bytes_per_second, prefill));
    const auto b = static_cast<std::uint32_t>(q.nodes.size() - 1);
    const double ours = m->rtt ? static_cast<double>(m->rtt->count()) * micro / 2 : 0;
    q.links.push_back({0, b, ours, assumed_bandwidth});
    for (std::uint32_t a = 1; a < b; ++a) {
      q.links.push_back({a, b, delay_between(*others[a - 1], *m), assumed_bandwidth});
    }
  }
  return q;
}

// Nothing where there is to be none, or none but the one that is used.
std::optional<group_order> group_keeper::order_for(led_group& led, std::span<const member> members,
                                                   time_point now) {
  const std::vector<const member*> others = able(led, members);
  const bool chooses = around_.wants.chooses;
  if (led.used.number != 0 && (chooses || others.size() + 1 <= led.used.members)) {
    return std::nullopt;
  }
  if (!chooses && others.size() < around_.wants.named.size() && now < led.since + settle_wait) {
    return std::nullopt;
  }
  if (others.empty()) {
    tell(led, fmt::format("leads no group for layers {} to {} of {}: no node that it may lead "
                          "holds them and is linked",
                          led.model->held.first, led.model->held.last - 1, led.model->name));
    return std::nullopt;
  }
  const group_question q = question_for(led, others, members);
  std::vector<std::uint32_t> chosen{0};
  std::optional<compute::segment_cut> cut;
  if (chooses) {
    auto choice = choose_group(q);
    if (!choice || choice->what != group_verdict::group) {
      tell(led, choice ? choice->why : choice.error().message);
      return std::nullopt;
    }
    chosen = choice->members;
    cut = std::move(choice->cut);
  } else {
    const std::size_t most = std::min(q.nodes.size(), limits::group_members_max);
    for (std::uint32_t i = 1; i < most; ++i) {
      chosen.push_back(i);
    }
    if (const auto can = compute::check_for_parts(*q.model, q.layers); !can) {
      tell(led, "leads no group: " + can.error().message);
      return std::nullopt;
    }
    cut = best_cut(q, chosen);
  }
  if (!cut) {
    tell(led, "leads no group: one of its members has no memory for its part");
    return std::nullopt;
  }
  group_order order{led.model->id, {}, std::move(*cut)};
  for (const std::uint32_t i : chosen) {
    order.nodes.push_back(i == 0 ? around_.self : others[i - 1]->node);
  }
  return order;
}

// Groups that are no more, or do not come to be.
void group_keeper::end_lost(led_group& led, time_point now, plan& next) {
  const bool used = led.used.number != 0 && (led.lost || !around_.desk->leads(led.used.number));
  const bool failed = led.at == phase::failed || (led.at == phase::forming && now >= led.due);
  if (used) {
    next.ended.push_back(led.used.number);
    led.used = {};
    led.lost = false;
  }
  if (failed) {
    next.ended.push_back(led.next.number);
    next.dropped = std::move(led.segment);
    led.next = {};
    led.at = phase::none;
  }
  if (used || failed) {
    led.due = now + led.pause;
    led.pause = std::min(2 * led.pause, last_pause);
  }
}

void group_keeper::consider(const place& where, led_group& led, std::span<const member> members,
                            time_point now, std::vector<plan>& plans) {
  plan next{where, {}, nullptr, std::nullopt, 0};
  end_lost(led, now, next);
  if (led.at == phase::none && now >= led.due && !led.lied) {
    led.due = now + look_pause;
    if (auto order = order_for(led, members, now)) {
      led.at = phase::forming;
      led.due = now + forming_wait;
      led.next = {std::max<std::uint64_t>(1, around_.draw()), order->nodes.size()};
      led.told.clear();
      next.group = led.next.number;
      next.order = std::move(order);
    }
  }
  if (!next.ended.empty() || next.order) {
    plans.push_back(std::move(next));
  }
}

void group_keeper::look(std::span<const member> members, time_point now) {
  if (around_.wants.named.empty() && !around_.wants.chooses) {
    return;
  }
  std::vector<plan> plans;
  {
    const std::lock_guard lock{guard_};
    const auto self = std::ranges::find(members, around_.self, &member::node);
    if (self != members.end() && decode_alone_ == 0) {
      decode_alone_ = static_cast<double>(self->advert.decode_bytes_per_second);
      prefill_alone_ = static_cast<double>(self->advert.prefill_bytes_per_second);
    }
    std::map<place, model_catalog::entry> held;
    for (const model_catalog::entry& model : around_.models->all()) {
      if (model->held.size() > 0) {
        held[{model->id, model->held.first}] = model;
      }
    }
    for (auto led = led_.begin(); led != led_.end();) {
      const auto known = held.find(led->first);
      if (known != held.end() && known->second == led->second.model) {
        ++led;
        continue;
      }
      plans.push_back({led->first,
                       {led->second.used.number, led->second.next.number},
                       std::move(led->second.segment),
                       std::nullopt,
                       0});
      led = led_.erase(led);
    }
    for (const auto& [where, model] : held) {
      led_group& led = led_[where];
      if (!led.model) {
        led.model = model;
        led.since = now;
        led.pause = first_pause;
      }
      consider(where, led, members, now, plans);
    }
  }
  for (plan& next : plans) {
    for (const std::uint64_t ended : next.ended) {
      around_.desk->end(ended);
    }
    next.dropped.reset();
    if (next.order) {
      form(next);
    }
  }
}

void group_keeper::form(plan& next) {
  around_.log(fmt::format("forms group {} of {} nodes for layers {} to {}", next.group,
                          next.order->nodes.size(), next.order->cut.layers.first,
                          next.order->cut.layers.last - 1));
  const auto begun =
      around_.desk->form(next.group, std::move(*next.order),
                         [this, where = next.where, group = next.group](
                             const result<void>& outcome) { formed(where, group, outcome); });
  if (!begun) {
    formed(next.where, next.group, begun);
  }
}

void group_keeper::formed(const place& where, std::uint64_t group, const result<void>& outcome) {
  const std::lock_guard lock{guard_};
  led_group* const led = next_of(where, group);
  if (led == nullptr) {
    return;
  }
  if (!outcome) {
    tell(*led, "formed no group: " + outcome.error().message);
    led->at = phase::failed;
    return;
  }
  led->at = phase::making;
  around_.executor->post(
      [this, where, group](compute::parallel_runner& runner) { make(where, group, runner); });
}

void group_keeper::make(const place& where, std::uint64_t group, compute::parallel_runner& runner) {
  model_catalog::entry model;
  {
    const std::lock_guard lock{guard_};
    if (const led_group* const led = next_of(where, group)) {
      model = led->model;
    }
  }
  if (!model) {
    return;
  }
  auto engine = around_.desk->engine(
      group, runner, [this, where, group](const error& why) { lost(where, group, why); });
  auto made = engine ? compute::segment::make_with(model->weights, model->held, *model->kernels,
                                                   std::move(*engine))
                     : engine.error();
  const std::lock_guard lock{guard_};
  led_group* const led = next_of(where, group);
  if (led == nullptr) {
    return; // and the segment goes with its group
  }
  if (!made) {
    tell(*led, "leads no group: " + made.error().message);
    led->at = phase::failed;
    return;
  }
  led->segment = std::move(*made);
  led->at = phase::ready;
  led->due = {}; // once it is used, for more members
  around_.log(fmt::format("leads group {} of {} nodes", group, led->next.members));
}

void group_keeper::lost(const place& where, std::uint64_t group, const error& why) {
  const std::lock_guard lock{guard_};
  if (led_group* const led = next_of(where, group)) {
    led->at = phase::failed;
  } else if (const auto known = led_.find(where);
             known != led_.end() && known->second.used.number == group) {
    known->second.lost = true;
    known->second.lied = why.code == errc::digest_mismatch;
  }
  around_.log(why.message + (why.code == errc::digest_mismatch
                                 ? "; this node goes on alone and leads no group until it is "
                                   "restarted: one of the members computes wrongly"
                                 : "; this node goes on alone"));
}

std::optional<group_keeper::grouped_segment> group_keeper::take(const digest& model,
                                                                layer_range layers) {
  const std::lock_guard lock{guard_};
  const auto found = led_.find({model, layers.first});
  if (found == led_.end() || found->second.at != phase::ready ||
      found->second.model->held != layers) {
    return std::nullopt;
  }
  led_group& led = found->second;
  led.at = phase::none;
  led.used = std::exchange(led.next, {});
  led.lost = false;
  around_.log(fmt::format("group {} computes new requests from now on", led.used.number));
  return grouped_segment{std::move(led.segment), led.model, led.used.members};
}

group_keeper::load group_keeper::count() const {
  return {around_.desk->count().joined, around_.desk->kv_bytes_promised()};
}

} // namespace ovir::actors
