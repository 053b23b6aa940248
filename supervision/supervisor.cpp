#include "supervision/supervisor.hpp"

#include "messages/caf/errors.hpp"
#include "messages/caf/events.hpp"
#include "messages/caf/system_config.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <deque>

namespace ovir::supervision {

namespace {

/// Sent to oneself by the clock.
struct child_timer {
  child_key child;
  std::uint32_t generation{0};
};

/// Sent to oneself by the first turn, so that the watcher hears of children after its own start.
struct start_children {};

template <class... Fs>
struct overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
overloaded(Fs...) -> overloaded<Fs...>;

void notify(supervisor_pointer self, child_event::kind what, const supervisor_state::kept& child,
            error reason) {
  const supervisor_state& state = self->state;
  if (state.watcher) {
    self->send(state.watcher,
               child_event{what, state.name, child.spec.rules.id, child.handle, std::move(reason)});
  }
}

std::vector<supervisor_effect> perform_start(supervisor_pointer self, child_key key) {
  supervisor_state& state = self->state;
  supervisor_state::kept& child = state.children.at(key);
  auto handle = child.spec.start(self->system());
  if (!handle) {
    state.last_crash = in_context(child.spec.rules.id, handle.error());
    notify(self, child_event::kind::lost, child, handle.error());
    return state.core->start_failed(key, self->clock().now());
  }
  child.handle = *handle;
  state.alive->push_back(child.handle);
  self->monitor(child.handle);
  notify(self, child_event::kind::started, child, {});
  return state.core->started(key);
}

void perform_quit(supervisor_pointer self, bool exhausted) {
  if (!exhausted) {
    self->quit(caf::exit_reason::user_shutdown);
    return;
  }
  self->quit(to_caf(fail(errc::restarts_exhausted,
                         "{} gave up: its children crashed more often than its restart intensity "
                         "allows; the last reason was: {}",
                         self->state.name, self->state.last_crash.message)));
}

// Effects may bring further effects; a start that fails does.
void perform(supervisor_pointer self, std::vector<supervisor_effect> first) {
  std::deque<supervisor_effect> queue{first.begin(), first.end()};
  while (!queue.empty()) {
    const supervisor_effect next = queue.front();
    queue.pop_front();
    std::visit(overloaded{
                   [&](const start_effect& e) {
                     const auto more = perform_start(self, e.child);
                     queue.insert(queue.end(), more.begin(), more.end());
                   },
                   [&](const stop_effect& e) {
                     self->send_exit(self->state.children.at(e.child).handle,
                                     caf::exit_reason::user_shutdown);
                   },
                   [&](const kill_effect& e) {
                     self->send_exit(self->state.children.at(e.child).handle,
                                     caf::exit_reason::kill);
                   },
                   [&](const timer_effect& e) {
                     // Without back-off the child is back before its parent's next message; a trip
                     // through the clock's thread would cost more than many a restart.
                     if (e.delay.count() > 0) {
                       self->delayed_send(self, e.delay, child_timer{e.child, e.generation});
                       return;
                     }
                     const auto more = self->state.core->timer(e.child, e.generation);
                     queue.insert(queue.end(), more.begin(), more.end());
                   },
                   [&](const forget_effect& e) { self->state.children.erase(e.child); },
                   [&](const quit_effect& e) { perform_quit(self, e.exhausted); },
               },
               next);
  }
}

error crash_error(const caf::error& reason) {
  if (!reason) {
    return {errc::peer_lost, "it ended although it should stay"};
  }
  return from_caf(reason);
}

void child_down(supervisor_pointer self, const caf::down_msg& message) {
  supervisor_state& state = self->state;
  const auto found =
      std::find_if(state.children.begin(), state.children.end(), [&](const auto& entry) {
        return entry.second.handle && entry.second.handle.address() == message.source;
      });
  if (found == state.children.end()) {
    return;
  }
  const child_key key = found->first;
  std::erase(*state.alive, found->second.handle);
  found->second.handle = nullptr;
  const error reason = crash_error(message.reason);
  notify(self, child_event::kind::lost, found->second, reason);
  const bool was_closing = state.core->closing();
  if (!was_closing) { // what is told to end is no reason for anything
    state.last_crash = in_context(found->second.spec.rules.id, reason);
  }
  auto effects = state.core->down(key, is_normal_exit(message.reason), self->clock().now());
  if (!was_closing && state.core->closing()) {
    notify(self, child_event::kind::abandoned, state.children.at(key), reason);
  }
  perform(self, std::move(effects));
}

/// Collects the answers of the supervisors below.
struct description {
  tree_node node;
  std::size_t waiting{0};
  caf::typed_response_promise<tree_node> promise;
};

void add_answer(const std::shared_ptr<description>& d) {
  if (--d->waiting == 0) {
    d->promise.deliver(d->node);
  }
}

caf::result<tree_node> describe(supervisor_pointer self) {
  const supervisor_state& state = self->state;
  auto d = std::make_shared<description>();
  d->promise = self->make_response_promise<tree_node>();
  d->node.name = state.name;
  d->node.state = std::string{to_string(state.core->how())};
  d->node.strategy = d->node.state;
  d->waiting = 1;
  for (const auto& child : state.core->children()) {
    d->node.children.push_back(
        {child.rules.id, std::string{to_string(child.state)}, child.restarts, {}});
    d->node.children.back().restart = std::string{to_string(child.rules.restart)};
    const supervisor_state::kept& kept = state.children.at(child.key);
    if (!kept.spec.is_supervisor || !kept.handle) {
      continue;
    }
    ++d->waiting;
    const std::size_t index = d->node.children.size() - 1;
    self->request(kept.handle, describe_wait, describe_tree{})
        .then(
            [d, index](tree_node& below) {
              d->node.children[index].state += ", " + below.state;
              d->node.children[index].children = std::move(below.children);
              d->node.children[index].strategy = std::move(below.strategy);
              add_answer(d);
            },
            [d, index](const caf::error&) {
              d->node.children[index].state += ", no answer";
              add_answer(d);
            });
  }
  add_answer(d);
  return d->promise;
}

caf::result<caf::actor> find(supervisor_pointer self, const find_child& wanted) {
  const supervisor_state& state = self->state;
  const std::size_t slash = wanted.path.find('/');
  const std::string id = wanted.path.substr(0, slash);
  const auto* child = state.core->find(id);
  if (child == nullptr) {
    return to_caf(fail(errc::not_found, "{} has no child named {}", state.name, id));
  }
  const supervisor_state::kept& kept = state.children.at(child->key);
  if (!kept.handle) {
    return to_caf(fail(errc::peer_lost, "{} is being restarted; try again", id));
  }
  if (slash == std::string::npos) {
    return kept.handle;
  }
  self->delegate(kept.handle, find_child{wanted.path.substr(slash + 1)});
  return caf::delegated<caf::actor>{};
}

caf::result<caf::actor> start_temporary(supervisor_pointer self, const start_child& command) {
  supervisor_state& state = self->state;
  const child_rules& rules = command.spec.rules;
  if (rules.restart != restart_kind::temporary || state.core->find(rules.id) != nullptr) {
    return to_caf(fail(errc::invalid_argument,
                       "{} cannot start {}: only temporary children with a new name join later",
                       state.name, rules.id));
  }
  if (state.core->closing()) {
    return to_caf(fail(errc::peer_lost, "{} is shutting down", state.name));
  }
  const child_key key = state.core->add(rules);
  state.children[key].spec = command.spec;
  perform(self, state.core->advance());
  const auto found = state.children.find(key);
  if (found == state.children.end() || !found->second.handle) {
    return to_caf(state.last_crash);
  }
  return found->second.handle;
}

void print_node(const tree_node& node, std::size_t depth, std::string& out) {
  out += fmt::format("{}{}  {}  restarts {}\n", std::string(2 * depth, ' '), node.name, node.state,
                     node.restarts);
  for (const tree_node& child : node.children) {
    print_node(child, depth + 1, out);
  }
}

} // namespace

} // namespace ovir::supervision

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::supervision::child_timer)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::supervision::start_children)

namespace ovir::supervision {

std::string print_tree(const tree_node& root) {
  std::string out;
  print_node(root, 0, out);
  return out;
}

caf::behavior supervisor_behavior(supervisor_pointer self, const supervisor_spec& spec) {
  make_quiet(self);
  supervisor_state& state = self->state;
  state.name = spec.name;
  state.watcher = spec.watcher;
  state.core = std::make_unique<supervisor_core>(spec.how, spec.policy);
  for (const child_spec& child : spec.children) {
    state.children[state.core->add(child.rules)].spec = child;
  }
  self->set_down_handler([self](caf::down_msg& message) { child_down(self, message); });
  self->set_exit_handler([self](caf::exit_msg&) { perform(self, self->state.core->close()); });
  self->attach_functor([alive = state.alive] {
    for (const caf::actor& child : *alive) {
      caf::anon_send_exit(child, caf::exit_reason::kill);
    }
    alive->clear();
  });
  self->send(self, start_children{});
  return {
      [self](const start_children&) { perform(self, self->state.core->advance()); },
      [self](const child_timer& t) {
        perform(self, self->state.core->timer(t.child, t.generation));
      },
      [self](const describe_tree&) { return describe(self); },
      [self](const find_child& wanted) { return find(self, wanted); },
      [self](const start_child& command) { return start_temporary(self, command); },
  };
}

child_spec supervisor_child(child_rules rules, std::function<supervisor_spec()> make) {
  child_spec spec;
  spec.rules = std::move(rules);
  spec.is_supervisor = true;
  spec.start = [make = std::move(make)](caf::actor_system& system) -> result<caf::actor> {
    return system.spawn(supervisor_behavior, make());
  };
  return spec;
}

} // namespace ovir::supervision
