#include "supervision/supervisor_core.hpp"

#include "messages/check.hpp"

#include <algorithm>

namespace ovir::supervision {

std::string_view to_string(child_state state) noexcept {
  switch (state) {
  case child_state::waiting: return "waiting";
  case child_state::starting: return "starting";
  case child_state::running: return "running";
  case child_state::stopping: return "stopping";
  case child_state::exited: return "exited";
  }
  return "unknown";
}

std::string_view to_string(strategy s) noexcept {
  switch (s) {
  case strategy::one_for_one: return "one_for_one";
  case strategy::one_for_all: return "one_for_all";
  case strategy::rest_for_one: return "rest_for_one";
  }
  return "unknown";
}

std::string_view to_string(restart_kind kind) noexcept {
  switch (kind) {
  case restart_kind::permanent: return "permanent";
  case restart_kind::transient: return "transient";
  case restart_kind::temporary: return "temporary";
  }
  return "unknown";
}

supervisor_core::supervisor_core(strategy s, restart_policy policy)
    : strategy_(s), policy_(std::move(policy)) {}

child_key supervisor_core::add(child_rules rules) {
  OVIR_CHECK(find(rules.id) == nullptr, rules.id);
  child c;
  c.key = child_key{next_key_++};
  c.rules = std::move(rules);
  children_.push_back(std::move(c));
  return children_.back().key;
}

const supervisor_core::child* supervisor_core::find(std::string_view id) const noexcept {
  const auto found = std::find_if(children_.begin(), children_.end(),
                                  [id](const child& c) { return c.rules.id == id; });
  return found == children_.end() ? nullptr : &*found;
}

supervisor_core::child* supervisor_core::find(child_key key) noexcept {
  const auto found = std::find_if(children_.begin(), children_.end(),
                                  [key](const child& c) { return c.key == key; });
  return found == children_.end() ? nullptr : &*found;
}

std::vector<supervisor_effect> supervisor_core::advance() {
  effects out;
  step(out);
  return out;
}

std::vector<supervisor_effect> supervisor_core::started(child_key key) {
  effects out;
  child* c = find(key);
  OVIR_CHECK(c != nullptr && c->state == child_state::starting);
  c->state = child_state::running;
  c->stop_queued = closing_;
  step(out);
  return out;
}

std::vector<supervisor_effect> supervisor_core::start_failed(child_key key, time_point now) {
  effects out;
  child* c = find(key);
  OVIR_CHECK(c != nullptr && c->state == child_state::starting);
  if (c->rules.restart == restart_kind::temporary) {
    forget(key, out);
  } else if (closing_) {
    ended(*c, out);
  } else {
    const bool first = c->restarts == 0;
    c->state = child_state::waiting;
    if (first) {
      begin_close(true);
    } else {
      crash(key, now, out);
    }
  }
  step(out);
  return out;
}

std::vector<supervisor_effect> supervisor_core::down(child_key key, bool normal, time_point now) {
  effects out;
  child* c = find(key);
  if (c == nullptr) {
    return out;
  }
  if (c->state == child_state::stopping || c->stop_queued || closing_) {
    ended(*c, out);
  } else if (c->rules.restart == restart_kind::temporary) {
    forget(key, out);
  } else if (c->rules.restart == restart_kind::transient && normal) {
    c->state = child_state::exited;
  } else {
    crash(key, now, out);
  }
  step(out);
  return out;
}

std::vector<supervisor_effect> supervisor_core::timer(child_key key, std::uint32_t generation) {
  effects out;
  child* c = find(key);
  if (c == nullptr || c->generation != generation) {
    return out;
  }
  if (c->state == child_state::stopping) {
    out.push_back(kill_effect{key});
  } else if (c->state == child_state::waiting) {
    c->backing_off = false;
    step(out);
  }
  return out;
}

std::vector<supervisor_effect> supervisor_core::close() {
  effects out;
  if (!closing_) {
    begin_close(false);
    step(out);
  }
  return out;
}

void supervisor_core::crash(child_key key, time_point now, effects& out) {
  child* c = find(key);
  if (policy_.on_crash(now) == verdict::give_up) {
    c->state = child_state::exited;
    begin_close(true);
    return;
  }
  c->state = child_state::waiting;
  c->backing_off = true;
  ++c->restarts;
  ++c->generation;
  out.push_back(timer_effect{key, c->generation, policy_.backoff()});
  take_along(*c);
}

// The other children a crash concerns: the running are stopped to come back, those that ended start
// again with the rest, as OTP has it.
void supervisor_core::take_along(const child& crashed) {
  if (strategy_ == strategy::one_for_one) {
    return;
  }
  bool after = false;
  for (child& c : children_) {
    if (&c == &crashed) {
      after = true;
      continue;
    }
    if (strategy_ == strategy::rest_for_one && !after) {
      continue;
    }
    if (c.state == child_state::running) {
      c.stop_queued = true;
      c.comes_back = c.rules.restart != restart_kind::temporary;
    } else if (c.state == child_state::exited) {
      c.state = child_state::waiting;
    }
  }
}

void supervisor_core::begin_close(bool exhausted) {
  closing_ = true;
  exhausted_ = exhausted;
  for (child& c : children_) {
    c.comes_back = false;
    if (c.state == child_state::running) {
      c.stop_queued = true;
    } else if (c.state == child_state::waiting) {
      c.state = child_state::exited;
    }
  }
}

void supervisor_core::ended(child& c, effects& out) {
  const bool temporary = c.rules.restart == restart_kind::temporary;
  c.stop_queued = false;
  ++c.generation;
  if (c.comes_back) {
    c.comes_back = false;
    c.state = child_state::waiting;
    ++c.restarts;
  } else if (temporary) {
    forget(c.key, out);
  } else {
    c.state = child_state::exited;
  }
}

void supervisor_core::forget(child_key key, effects& out) {
  std::erase_if(children_, [key](const child& c) { return c.key == key; });
  out.push_back(forget_effect{key});
}

// One child at a time, the one started last first. False when none is left to stop.
bool supervisor_core::stop_next(effects& out) {
  for (const child& c : children_) {
    if (c.state == child_state::stopping) {
      return true;
    }
  }
  for (auto c = children_.rbegin(); c != children_.rend(); ++c) {
    if (!c->stop_queued) {
      continue;
    }
    c->stop_queued = false;
    c->state = child_state::stopping;
    ++c->generation;
    if (c->rules.shutdown_wait) {
      out.push_back(stop_effect{c->key});
      out.push_back(timer_effect{c->key, c->generation, *c->rules.shutdown_wait});
    } else {
      out.push_back(kill_effect{c->key});
    }
    return true;
  }
  return false;
}

void supervisor_core::start_next(effects& out) {
  // A group comes back together and in order, so it waits for the slowest back-off among it.
  if (strategy_ != strategy::one_for_one) {
    for (const child& c : children_) {
      if (c.state == child_state::waiting && c.backing_off) {
        return;
      }
    }
  }
  for (child& c : children_) {
    if (c.state == child_state::waiting && !c.backing_off) {
      c.state = child_state::starting;
      out.push_back(start_effect{c.key});
      return;
    }
  }
}

void supervisor_core::step(effects& out) {
  const bool starting = std::any_of(children_.begin(), children_.end(), [](const child& c) {
    return c.state == child_state::starting;
  });
  if (quit_ || starting || stop_next(out)) {
    return;
  }
  if (!closing_) {
    start_next(out);
    return;
  }
  quit_ = true;
  out.push_back(quit_effect{exhausted_});
}

} // namespace ovir::supervision
