#include "actors/nat/way_search.hpp"

#include <algorithm>

namespace ovir::actors {

way_search::steps way_search::begin(time_point now) {
  using action = way_step::action;
  begun_ = now;
  steps out;
  if (how_.known && how_.known->kind == way_kind::relayed) {
    phase_ = phase::opening;
    helper_ = how_.known->helper;
    until_ = now + limits::relay_open_wait;
    out.push_back({action::open, helper_});
  } else if (how_.known && how_.known->kind == way_kind::met && how_.meets) {
    phase_ = phase::meeting;
    helper_ = how_.known->helper;
    until_ = now + limits::meeting_wait + limits::meet_dial_wait;
    out.push_back({action::meet, helper_});
  } else {
    dialling_ = true;
    out.push_back({action::dial});
  }
  return out;
}

void way_search::ask(time_point now, steps& out) {
  asked_ = true;
  phase_ = phase::asking;
  until_ = now + limits::helper_ask_wait;
  unanswered_ = {how_.helpers.begin(), how_.helpers.end()};
  for (const node_id& helper : how_.helpers) {
    out.push_back({way_step::action::ask, helper});
  }
  if (unanswered_.empty()) {
    choose(now, out);
  }
}

bool way_search::dial_may_succeed() const {
  return dialling_ && (candidates_.empty() ||
                       std::any_of(candidates_.begin(), candidates_.end(),
                                   [](const candidate& c) { return c.answer.reachable; }));
}

// The helpers have said what they know, or had their time.
void way_search::choose(time_point now, steps& out) {
  addresses_.clear();
  relays_.clear();
  for (const candidate& c : candidates_) {
    for (const std::string& one : c.answer.addresses) {
      if (std::find(addresses_.begin(), addresses_.end(), one) == addresses_.end() &&
          addresses_.size() < limits::nat_addresses_max) {
        addresses_.push_back(one);
      }
    }
    if (c.answer.relays) {
      relays_.push_back(c.helper);
    }
  }
  if (dial_may_succeed()) {
    phase_ = phase::waiting;
    return;
  }
  go_on(now, out);
}

void way_search::go_on(time_point now, steps& out) {
  using action = way_step::action;
  if (dialling_) {
    dialling_ = false;
    out.push_back({action::drop_dial});
  }
  if (!addresses_.empty()) {
    phase_ = phase::told;
    until_ = now + limits::told_address_wait;
    dialling_ = true;
    out.push_back({action::dial, {}, addresses_.front()});
    addresses_.pop_front();
    return;
  }
  if (how_.meets && !met_ && !candidates_.empty()) {
    met_ = true;
    phase_ = phase::meeting;
    helper_ = candidates_.front().helper;
    until_ = now + limits::meeting_wait + limits::meet_dial_wait;
    out.push_back({action::meet, helper_});
    return;
  }
  if (!relays_.empty()) {
    phase_ = phase::opening;
    helper_ = relays_.front();
    relays_.pop_front();
    until_ = now + limits::relay_open_wait;
    out.push_back({action::open, helper_});
    return;
  }
  give_up(out);
}

void way_search::give_up(steps& out) {
  phase_ = phase::over;
  out.push_back({way_step::action::fail, {}, {}, last_});
}

way_search::steps way_search::dial_failed(const error& reason, time_point now) {
  steps out;
  if (!dialling_ || phase_ == phase::over) {
    return out;
  }
  dialling_ = false;
  last_ = reason;
  switch (phase_) {
  case phase::direct: ask(now, out); break;
  case phase::asking: break; // the helpers have their time
  case phase::waiting:
  case phase::told: go_on(now, out); break;
  default: break;
  }
  return out;
}

way_search::steps way_search::answered(const node_id& helper, const helper_answer& answer,
                                       time_point now) {
  steps out;
  if (phase_ != phase::asking || unanswered_.erase(helper) == 0) {
    return out;
  }
  if (answer.held) {
    candidates_.push_back({helper, answer});
  }
  // One relay that holds the node is enough; for others, another may be better.
  if ((answer.held && answer.relays) || unanswered_.empty()) {
    choose(now, out);
  }
  return out;
}

way_search::steps way_search::helper_lost(const node_id& helper, time_point now) {
  steps out;
  if (phase_ == phase::asking && unanswered_.erase(helper) > 0 && unanswered_.empty()) {
    choose(now, out);
  } else if ((phase_ == phase::meeting || phase_ == phase::opening) && helper_ == helper) {
    return way_failed(fail(errc::peer_lost, "helper {} is gone", short_name(helper)), now);
  }
  return out;
}

way_search::steps way_search::way_failed(const error& reason, time_point now) {
  steps out;
  if (phase_ != phase::meeting && phase_ != phase::opening) {
    return out;
  }
  last_ = reason;
  if (asked_) {
    go_on(now, out);
    return out;
  }
  // What worked before does no longer: from the beginning.
  how_.known.reset();
  phase_ = phase::direct;
  begun_ = now;
  dialling_ = true;
  out.push_back({way_step::action::dial});
  return out;
}

void way_search::carried(time_point now) {
  if (phase_ == phase::meeting || phase_ == phase::opening) {
    until_ = now + limits::relay_admission_wait;
  }
}

way_search::steps way_search::tick(time_point now) {
  steps out;
  switch (phase_) {
  case phase::direct:
    if (now >= begun_ + limits::direct_head_start && !asked_ && !how_.helpers.empty()) {
      ask(now, out);
    }
    break;
  case phase::asking:
    if (now >= until_) {
      unanswered_.clear();
      choose(now, out);
    }
    break;
  case phase::told:
    if (now >= until_) {
      go_on(now, out);
    }
    break;
  case phase::meeting:
  case phase::opening:
    if (now >= until_) {
      return way_failed(
          fail(errc::timed_out, "the way by helper {} took too long", short_name(helper_)), now);
    }
    break;
  case phase::waiting:
  case phase::over: break;
  }
  return out;
}

known_way way_search::way() const {
  if (phase_ == phase::meeting) {
    return {way_kind::met, helper_};
  }
  if (phase_ == phase::opening) {
    return {way_kind::relayed, helper_};
  }
  return {};
}

} // namespace ovir::actors
