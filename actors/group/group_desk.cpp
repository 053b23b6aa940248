#include "actors/group/group_desk.hpp"

#include "actors/group/group_leader.hpp"
#include "compute/parts/cut_codec.hpp"
#include "compute/parts/segment_part.hpp"
#include "messages/check.hpp"
#include "messages/limits/parts.hpp"
#include "messages/wire/group_frame.hpp"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

namespace ovir::actors {

namespace {

group_links::bytes group_message(group_header header, std::uint64_t group, std::uint32_t self,
                                 std::span<const std::byte> payload) {
  header.group = group;
  header.member = static_cast<std::uint16_t>(self);
  return std::make_shared<const std::vector<std::byte>>(encode_group(header, payload));
}

std::uint32_t place_of(const std::vector<node_id>& nodes, const node_id& node) {
  return static_cast<std::uint32_t>(std::find(nodes.begin(), nodes.end(), node) - nodes.begin());
}

} // namespace

group_desk::group_desk(surroundings around) : around_(std::move(around)) {}
group_desk::~group_desk() = default;

result<void> group_desk::form(std::uint64_t group, group_order order,
                              std::function<void(result<void>)> done) {
  if (order.nodes.size() < 2 || order.nodes.front() != around_.self ||
      order.nodes.size() != order.cut.members.size()) {
    return fail(errc::invalid_argument,
                "this node leads no group of {} nodes and {} parts in which it is not the first",
                order.nodes.size(), order.cut.members.size());
  }
  const auto payload = encode_order(order);
  const std::vector<node_id> nodes = order.nodes;
  {
    const std::lock_guard lock{guard_};
    if (led_.contains(group) || !joined_.empty()) {
      return fail(errc::busy, "there is a group {} already, or this node is in a group of another",
                  group);
    }
    led_group& made = led_[group];
    made.links = std::make_shared<seat_links>(nodes, around_.send, around_.busy_read);
    for (std::uint32_t i = 1; i < nodes.size(); ++i) {
      made.awaited.insert(i);
    }
    made.order = std::move(order);
    made.done = std::move(done);
  }
  for (std::size_t i = 1; i < nodes.size(); ++i) {
    around_.send(nodes[i], group_message({.kind = group_kind::form}, group, 0, payload));
  }
  return {};
}

result<std::unique_ptr<compute::layer_engine>>
group_desk::engine(std::uint64_t group, compute::parallel_runner& runner,
                   std::function<void(const error&)> lost) {
  std::shared_ptr<seat_links> links;
  group_order order;
  {
    const std::lock_guard lock{guard_};
    const auto found = led_.find(group);
    if (found == led_.end() || !found->second.awaited.empty()) {
      return fail(errc::not_found, "no group {} is formed here", group);
    }
    links = found->second.links;
    order = found->second.order;
  }
  const held_weights held = around_.find(order.model, order.cut.layers);
  if (held.weights == nullptr) {
    return fail(errc::segment_missing, "layers {} to {} are not held here", order.cut.layers.first,
                order.cut.layers.last - 1);
  }
  const std::vector<std::uint32_t> one{1};
  OVIR_ASSIGN(const compute::segment_cut whole,
              compute::cut_segment(*held.weights, order.cut.layers, one));
  OVIR_ASSIGN(auto part,
              compute::segment_part::make(*held.weights, order.cut, 0, *held.kernels, runner));
  OVIR_ASSIGN(auto alone,
              compute::segment_part::make(*held.weights, whole, 0, *held.kernels, runner));
  auto leader = std::make_unique<group_leader>(group_seat{group, 0, around_.patience},
                                               std::move(part), std::move(alone), std::move(links));
  // The weights, and the group's end with the engine.
  leader->keep(std::shared_ptr<const void>{
      held.weights, [this, group, keeps = held.keeps](const void*) { end(group); }});
  if (around_.key != nullptr) {
    leader->sign_parts(*around_.key, order, shelf_);
  }
  leader->when_lost(std::move(lost));
  leader->check_passes(around_.checks);
  return std::unique_ptr<compute::layer_engine>{std::move(leader)};
}

// Tells the others of a group that this node led that it is no more.
void group_desk::part_from(const group_order& order, std::uint64_t group) const {
  for (std::size_t i = 1; i < order.nodes.size(); ++i) {
    around_.send(order.nodes[i], group_message({.kind = group_kind::part}, group, 0, {}));
  }
}

void group_desk::end(std::uint64_t group) {
  decltype(led_)::node_type ended;
  {
    const std::lock_guard lock{guard_};
    ended = led_.extract(group);
  }
  if (!ended) {
    return;
  }
  led_group& led = ended.mapped();
  led.links->end("this node ended it");
  part_from(led.order, group);
  if (led.done) {
    led.done(fail(errc::cancelled, "group {} was ended before it was formed", group));
  }
}

void group_desk::deliver(const node_id& from, group_links::bytes message) {
  const auto view = decode_group(*message);
  if (!view) {
    around_.log(fmt::format("{}: {}", short_name(from), view.error().message));
    return;
  }
  switch (view->header.kind) {
  case group_kind::form: return join(from, *view);
  case group_kind::formed: return take_answer(from, *view);
  default: break;
  }
  const std::lock_guard lock{guard_};
  const std::uint64_t group = view->header.group;
  if (const auto led = led_.find(group); led != led_.end()) {
    return led->second.links->put(from, std::move(message));
  }
  const auto joined = joined_.find(group);
  if (joined == joined_.end()) {
    ++dropped_;
    return;
  }
  joined->second->links->put(from, std::move(message));
  wake(group, *joined->second);
}

void group_desk::link_lost(const node_id& node) {
  std::vector<decltype(led_)::node_type> failed;
  {
    const std::lock_guard lock{guard_};
    std::vector<std::uint64_t> awaiting;
    for (auto& [group, led] : led_) {
      led.links->lose(node);
      if (led.awaited.contains(place_of(led.order.nodes, node))) {
        awaiting.push_back(group);
      }
    }
    for (const std::uint64_t group : awaiting) {
      failed.push_back(led_.extract(group));
    }
    for (auto& [group, joined] : joined_) {
      joined->links->lose(node);
      wake(group, *joined);
    }
  }
  for (const auto& one : failed) {
    part_from(one.mapped().order, one.key());
    one.mapped().done(fail(errc::peer_lost, "{} was gone before group {} was formed",
                           short_name(node), one.key()));
  }
}

void group_desk::close() {
  std::set<node_id> others;
  {
    const std::lock_guard lock{guard_};
    for (const auto& [group, led] : led_) {
      others.insert(led.order.nodes.begin() + 1, led.order.nodes.end());
    }
    for (const auto& [group, joined] : joined_) {
      others.insert(joined->leader);
    }
  }
  for (const node_id& node : others) {
    link_lost(node);
  }
}

bool group_desk::leads(std::uint64_t group) const {
  const std::lock_guard lock{guard_};
  return led_.contains(group);
}

group_desk::counters group_desk::count() const {
  const std::lock_guard lock{guard_};
  return {led_.size(), joined_.size(), dropped_};
}

std::size_t group_desk::kv_bytes_promised() const {
  return around_.kv_bytes_max / limits::groups_joined_max * count().joined;
}

// Groups that others lead.

result<void> group_desk::check_join(const node_id& leader, const group_view& view,
                                    const group_order& order) const {
  if (order.nodes.front() != leader || view.header.member != 0) {
    return fail(errc::malformed, "{} forms a group that it does not lead", short_name(leader));
  }
  if (place_of(order.nodes, around_.self) == order.nodes.size()) {
    return fail(errc::malformed, "{} forms a group without this node", short_name(leader));
  }
  if (!around_.allows(leader)) {
    return fail(errc::invalid_argument, "this node joins no group of {}", short_name(leader));
  }
  // Its executor waits in the passes that it leads, and the other's in those that it leads.
  if (!led_.empty() || joined_.size() >= limits::groups_joined_max) {
    return fail(errc::busy, "this node leads {} groups and is in {}", led_.size(), joined_.size());
  }
  if (joined_.contains(view.header.group) || led_.contains(view.header.group)) {
    return fail(errc::invalid_argument, "there is a group {} already", view.header.group);
  }
  return {};
}

void group_desk::join(const node_id& leader, const group_view& view) {
  const std::uint64_t group = view.header.group;
  auto order = decode_order(view.payload);
  if (!order) {
    return answer(leader, group, 1, order.error().message);
  }
  const std::uint32_t place = place_of(order->nodes, around_.self);
  const std::uint32_t self = place < order->nodes.size() ? place : 1;
  result<void> right;
  {
    const std::lock_guard lock{guard_};
    right = check_join(leader, view, *order);
    if (right) {
      auto made = std::make_shared<joined_group>();
      made->links = std::make_shared<seat_links>(order->nodes, around_.send, around_.busy_read);
      made->self = self;
      made->leader = leader;
      made->busy = true;
      joined_[group] = std::move(made);
    }
  }
  if (!right) {
    return answer(leader, group, self, right.error().message);
  }
  around_.executor->post(
      [this, group, order = std::move(*order)](compute::parallel_runner& runner) {
        make_member(group, order, runner);
      });
}

void group_desk::make_member(std::uint64_t group, const group_order& order,
                             compute::parallel_runner& runner) {
  std::shared_ptr<joined_group> joined;
  {
    const std::lock_guard lock{guard_};
    const auto found = joined_.find(group);
    if (found == joined_.end()) {
      return;
    }
    joined = found->second;
  }
  joined->weights = around_.find(order.model, order.cut.layers);
  if (joined->weights.weights == nullptr) {
    answer(joined->leader, group, joined->self, "the layers are not held here");
    return leave(group, "its layers are not held here");
  }
  auto part = compute::segment_part::make(*joined->weights.weights, order.cut, joined->self,
                                          *joined->weights.kernels, runner);
  if (!part) {
    answer(joined->leader, group, joined->self, part.error().message);
    return leave(group, part.error().message);
  }
  joined->member = std::make_unique<group_member>(
      group_seat{group, joined->self, 2 * around_.patience}, std::move(*part), *joined->links,
      around_.kv_bytes_max / limits::groups_joined_max);
  if (around_.key != nullptr) {
    joined->member->sign_parts(signing_by(*around_.key, order));
  }
  answer(joined->leader, group, joined->self, {});
  around_.log(
      fmt::format("joined group {} of {}: {}", group, short_name(joined->leader),
                  compute::describe(order.cut.members[joined->self], order.cut.blocks.front())));
  serve(group, runner);
}

// Under the lock: a job for what arrived, unless there is one.
void group_desk::wake(std::uint64_t group, joined_group& joined) {
  if (!joined.busy && !joined.links->empty()) {
    joined.busy = true;
    around_.executor->post(
        [this, group](compute::parallel_runner& runner) { serve(group, runner); });
  }
}

// On the executor: all that arrived, and what passes wait for.
void group_desk::serve(std::uint64_t group, compute::parallel_runner& runner) {
  std::shared_ptr<joined_group> joined;
  {
    const std::lock_guard lock{guard_};
    const auto found = joined_.find(group);
    if (found == joined_.end()) {
      return;
    }
    joined = found->second;
  }
  while (!joined->links->empty()) {
    const auto served = joined->member->serve(joined->links->now(), runner);
    if (!served) {
      return leave(group, served.error().message);
    }
    if (*served == group_member::served::end) {
      return leave(group, "its leader ended it");
    }
  }
  const std::lock_guard lock{guard_};
  joined->busy = false;
  wake(group, *joined); // what arrived since
}

void group_desk::leave(std::uint64_t group, const std::string& why) {
  decltype(joined_)::node_type left;
  {
    const std::lock_guard lock{guard_};
    left = joined_.extract(group);
  }
  if (left) { // the leader need not wait to find out
    around_.send(left.mapped()->leader,
                 group_message({.kind = group_kind::part}, group, left.mapped()->self, {}));
  }
  around_.log(fmt::format("left group {}: {}", group, why));
}

void group_desk::answer(const node_id& leader, std::uint64_t group, std::uint32_t self,
                        const std::string& refused) {
  const std::string_view words{refused.data(),
                               std::min(refused.size(), limits::group_answer_bytes_max)};
  around_.send(leader, group_message({.kind = group_kind::formed}, group, self,
                                     std::as_bytes(std::span{words})));
}

// Groups that this node leads.

void group_desk::take_answer(const node_id& from, const group_view& view) {
  std::function<void(result<void>)> done;
  result<void> outcome;
  group_order refused;
  bool gone = false; // the group that this node agrees to
  {
    const std::lock_guard lock{guard_};
    const auto found = led_.find(view.header.group);
    if (found == led_.end()) {
      ++dropped_;
      gone = view.payload.empty();
    } else if (led_group& led = found->second;
               led.awaited.erase(place_of(led.order.nodes, from)) == 0) {
      ++dropped_;
      return;
    } else if (!view.payload.empty()) {
      const std::string why{reinterpret_cast<const char*>(view.payload.data()),
                            view.payload.size()};
      outcome = fail(errc::busy, "{} takes no part in group {}: {}", short_name(from),
                     view.header.group, why);
      done = std::move(led.done);
      refused = std::move(led.order);
      led_.erase(found);
    } else if (led.awaited.empty()) {
      done = std::exchange(led.done, nullptr);
    }
  }
  if (!refused.nodes.empty()) {
    part_from(refused, view.header.group); // those who agreed
  } else if (gone) {
    around_.send(from, group_message({.kind = group_kind::part}, view.header.group, 0, {}));
  }
  if (done) {
    done(std::move(outcome));
  }
}

} // namespace ovir::actors
