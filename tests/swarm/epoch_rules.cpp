#include "tests/swarm/epoch_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

namespace ovir::swarm {

void epoch_rules::sent(std::size_t from, std::uint64_t life, std::size_t to,
                       actors::message_kind what, std::uint32_t target,
                       const std::vector<std::byte>& bytes) {
  if (what == actors::message_kind::tensor) {
    const auto frame = decode_frame(bytes);
    if (frame && holds_tokens(frame->header.kind) && target != actors::frame_to_lead) {
      sent_order(from, life, frame->header.request, frame->header.epoch);
    } else if (frame) {
      sent_frame(from, frame->header);
    }
    return;
  }
  if (what != actors::message_kind::wire) {
    return;
  }
  const auto m = actors::decode_wire(bytes);
  if (!m) {
    return;
  }
  if (std::holds_alternative<actors::wire_open>(m->body)) {
    sent_open(from, life, to, *m);
  } else if (std::holds_alternative<actors::replay_boundaries>(m->body) ||
             std::holds_alternative<actors::resend_logits>(m->body) ||
             std::holds_alternative<actors::finish_session>(m->body)) {
    sent_order(from, life, m->request, m->driver);
  } else {
    sent_news(from, *m);
  }
}

void epoch_rules::sent_open(std::size_t from, std::uint64_t life, std::size_t to,
                            const actors::wire_message& m) {
  opening& lead = leads_[{from, life, m.request}];
  if (lead.driver != m.driver) {
    lead = {m.driver, {}, {}};
  }
  lead.asked.insert({to, m.stage});
}

void epoch_rules::sent_order(std::size_t from, std::uint64_t life, request_id request,
                             epoch driver) {
  const auto found = leads_.find({from, life, request});
  if (found == leads_.end() || found->second.driver != driver) {
    return;
  }
  const opening& lead = found->second;
  for (const stage_name& one : lead.asked) {
    if (!lead.opened.contains(one)) {
      violate_(fmt::format("n{} goes on with {:016x} in epoch {} before n{} has opened", from,
                           request.value, driver.value, one.first));
    }
  }
}

void epoch_rules::sent_news(std::size_t from, const actors::wire_message& m) {
  const auto found = sessions_.find({from, m.request, m.stage});
  if (found == sessions_.end()) {
    return;
  }
  session& s = found->second;
  if (const auto* const opened = std::get_if<actors::session_opened>(&m.body)) {
    const auto asked = s.asked.find(m.driver);
    if (asked == s.asked.end()) {
      return;
    }
    if (s.driver != m.driver || !s.opened) {
      s.driver = m.driver;
      s.holds = 0;
      s.opened = true;
    }
    s.fed_from_afar = asked->second.fed_from_afar;
    s.holds = std::max(s.holds, opened->length);
  } else if (s.driver != m.driver) {
    return;
  } else if (const auto* const step = std::get_if<actors::step_done>(&m.body)) {
    told(from, s, m.request, step->length);
  }
}

bool epoch_rules::drives(std::size_t machine, request_id request, epoch driver) const {
  return std::any_of(leads_.begin(), leads_.end(), [&](const auto& one) {
    return std::get<0>(one.first) == machine && std::get<2>(one.first) == request &&
           one.second.driver == driver;
  });
}

void epoch_rules::sent_frame(std::size_t from, const frame_header& h) {
  if (!is_answer(h.kind) && h.kind != frame_kind::boundary && !holds_drafts(h.kind)) {
    return;
  }
  session* sender = nullptr;
  for (auto s = sessions_.lower_bound({from, h.request, 0});
       s != sessions_.end() && std::get<0>(s->first) == from && std::get<1>(s->first) == h.request;
       ++s) {
    if (s->second.driver == h.epoch) {
      if (sender != nullptr) {
        return; // which of its stages it comes from is not said
      }
      sender = &s->second;
    }
  }
  if (sender != nullptr && !drives(from, h.request, h.epoch)) {
    told(from, *sender, h.request, h.first + h.count);
  }
}

void epoch_rules::told(std::size_t from, session& s, request_id request, position end) {
  if (s.opened && s.fed_from_afar && end > s.holds) {
    violate_(fmt::format("n{} has {} positions of {:016x} in epoch {}, in which it was sent {}",
                         from, end, request.value, s.driver.value, s.holds));
  }
}

void epoch_rules::arrived(std::size_t from, std::size_t to, actors::message_kind what,
                          std::uint32_t target, const std::vector<std::byte>& bytes) {
  if (what == actors::message_kind::tensor) {
    const auto frame = decode_frame(bytes);
    const auto found =
        frame ? sessions_.find({to, frame->header.request, target}) : sessions_.end();
    if (found != sessions_.end() && found->second.driver == frame->header.epoch) {
      found->second.holds =
          std::max(found->second.holds, frame->header.first + frame->header.count);
    }
    return;
  }
  const auto m = what == actors::message_kind::wire ? actors::decode_wire(bytes) : error{};
  if (!m) {
    return;
  }
  if (const auto* const open = std::get_if<actors::wire_open>(&m->body)) {
    session& s = sessions_[{to, m->request, m->stage}];
    const auto [asked, is_new] =
        s.asked.try_emplace(m->driver, proposal{from, open->previous != id_of_(to)});
    if (!is_new && asked->second.lead != from) {
      // Epochs of two leads may have one number: nothing is known of it.
      asked->second.fed_from_afar = false;
      s.fed_from_afar = s.fed_from_afar && s.driver != m->driver;
    }
  } else if (std::holds_alternative<actors::session_opened>(m->body)) {
    for (auto& [name, lead] : leads_) {
      if (std::get<0>(name) == to && std::get<2>(name) == m->request && lead.driver == m->driver) {
        lead.opened.insert({from, m->stage});
      }
    }
  }
}

} // namespace ovir::swarm
