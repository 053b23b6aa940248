#include "actors/audit/drawn_audits.hpp"

#include "messages/limits/audit.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

drawn_audits::followed& drawn_audits::follow(const digest& about) {
  const auto [at, fresh] = followed_.try_emplace(about);
  if (fresh) {
    followed_order_.push_back(about);
    // Those without a receipt go first: theirs may be lost, or never come.
    while (followed_.size() > limits::audit_duties_max) {
      const digest oldest = followed_order_.front();
      followed_order_.pop_front();
      const auto found = followed_.find(oldest);
      if (found != followed_.end() && !found->second.bytes && oldest != about) {
        followed_.erase(found);
      } else if (found != followed_.end()) {
        followed_order_.push_back(oldest);
        break; // receipts are bounded by their bytes
      }
    }
  }
  return at->second;
}

void drawn_audits::hold(const digest& about, std::size_t bytes, time_point now) {
  followed& f = follow(about);
  if (f.bytes) {
    std::erase(held_order_, about);
  }
  held_bytes_ += bytes;
  f.bytes = f.bytes.value_or(0) + bytes;
  f.since = now;
  held_order_.push_back(about);
  make_room(about);
}

void drawn_audits::make_room(const digest& newest) {
  while ((held_bytes_ > limits::held_receipts_bytes_max ||
          held_order_.size() > limits::held_receipts_max) &&
         held_order_.front() != newest) {
    const digest oldest = held_order_.front();
    crowded_out_.undrawn.push_back(oldest);
    crowded_out_.over.push_back(oldest);
    close(oldest, crowded_out_);
  }
}

void drawn_audits::add_duty(const ledger::audit_duty& d) {
  const unit what{d.unit.window, d.unit.signer};
  if (const auto found = followed_.find(d.about); found != followed_.end() && d.driver == self_) {
    found->second.undrawn = found->second.undrawn || d.verifiers.empty();
    for (const node_id& verifier : d.verifiers) {
      found->second.open[verifier].insert(what);
    }
  }
  if (std::find(d.verifiers.begin(), d.verifiers.end(), self_) == d.verifiers.end()) {
    return;
  }
  if (duties_.size() < limits::audit_duties_max) { // the log still names those beyond
    duties_.emplace(key_of(d.about, d.unit), duty{d.unit, d.driver});
  }
}

void drawn_audits::take(const ledger::audit_news& news) {
  for (const digest& about : news.accrued) {
    ++follow(about).accrued;
  }
  for (const digest& about : news.drawn) {
    ++follow(about).drawn;
  }
  for (const digest& about : news.undrawn) {
    followed& f = follow(about);
    ++f.drawn;
    f.undrawn = true;
  }
  for (const digest& about : news.settled) {
    follow(about).settled = true;
  }
  for (const ledger::audit_duty& d : news.duties) {
    add_duty(d);
  }
  for (const ledger::audit_entered& a : news.audits) {
    if (const auto found = followed_.find(a.about); found != followed_.end() && a.driver == self_) {
      if (const auto open = found->second.open.find(a.verifier); open != found->second.open.end()) {
        open->second.erase({a.window, a.signer});
        if (open->second.empty()) {
          found->second.open.erase(open);
        }
      }
    }
    if (a.verifier == self_) {
      const duty_key key{a.about, a.request, a.window, a.signer};
      duties_.erase(key);
      seen_.erase(key);
    }
  }
}

/// Nothing more follows from it.
void drawn_audits::close(const digest& about, due_receipts& out) {
  const auto found = followed_.find(about);
  const followed& f = found->second;
  if (waits_for_able(f)) {
    out.unaudited.push_back(about);
  }
  held_bytes_ -= *f.bytes;
  std::erase(held_order_, about);
  std::erase(followed_order_, about);
  followed_.erase(found);
}

/// Offers that may still be answered, by verifier.
std::map<node_id, std::size_t> drawn_audits::under_way(time_point now) const {
  std::map<node_id, std::size_t> all;
  for (const digest& about : held_order_) {
    const followed& f = followed_.at(about);
    for (const auto& [verifier, o] : f.offers) {
      all[verifier] +=
          f.open.contains(verifier) && now - o.last < limits::audit_offer_again ? 1 : 0;
    }
  }
  return all;
}

drawn_audits::due_receipts drawn_audits::due(time_point now) {
  if (held_order_.size() > limits::held_receipts_few &&
      now - looked_ < limits::held_receipts_look_pause) {
    return {};
  }
  looked_ = now;
  due_receipts out = std::exchange(crowded_out_, {});
  std::map<node_id, std::size_t> busy = under_way(now);
  std::vector<digest> over;
  for (const digest& about : held_order_) {
    followed& f = followed_.at(about);
    const auto age = now - f.since;
    for (const auto& [verifier, units] : f.open) {
      offered& o = f.offers[verifier];
      const auto wait = limits::audit_offer_again *
                        (1U << std::min(o.times, limits::audit_offer_doublings_max + 1) >> 1U);
      if (busy[verifier] >= limits::audit_offers_at_once || (o.times > 0 && now - o.last < wait)) {
        continue;
      }
      ++busy[verifier];
      o.last = now;
      o.times += o.times <= limits::audit_offer_doublings_max ? 1 : 0;
      std::set<node_id> signers;
      for (const unit& u : units) {
        signers.insert(std::get<node_id>(u));
      }
      out.offers.push_back({about, verifier, std::move(signers)});
    }
    const bool never_entered = f.accrued == 0 && age >= limits::audit_entry_wait;
    if (std::exchange(f.undrawn, false) || never_entered) {
      out.undrawn.push_back(about);
    }
    if (never_entered) {
      out.unentered.push_back(about);
    }
    const bool all_drawn = f.settled && f.drawn >= f.accrued && f.accrued > 0;
    const bool in_vain = age >= limits::audit_lacking_lasts && !waits_for_able(f);
    if (never_entered || (all_drawn && (f.open.empty() || in_vain)) ||
        age >= limits::held_receipt_lasts) {
      over.push_back(about);
    }
  }
  for (const digest& about : over) {
    close(about, out);
    out.over.push_back(about);
  }
  return out;
}

void drawn_audits::note_lacking(const digest& about, const node_id& verifier,
                                const node_id& signer) {
  const auto found = followed_.find(about);
  if (found != followed_.end() && found->second.lacking.emplace(verifier, signer).second) {
    found->second.undrawn = true;
  }
}

/// Some verifier that has the layers, as far as is known, has still to look.
bool drawn_audits::waits_for_able(const followed& f) {
  return std::any_of(f.open.begin(), f.open.end(), [&f](const auto& one) {
    return std::any_of(one.second.begin(), one.second.end(), [&](const unit& u) {
      return !f.lacking.contains({one.first, std::get<node_id>(u)});
    });
  });
}

std::vector<drawn_audits::duty> drawn_audits::duties_of(const digest& about) const {
  std::vector<duty> all;
  for (auto at = duties_.lower_bound({about, {}, 0, node_id{}});
       at != duties_.end() && std::get<0>(at->first) == about; ++at) {
    if (!seen_.contains(at->first)) {
      all.push_back(at->second);
    }
  }
  return all;
}

void drawn_audits::note_seen(const digest& about, const duty& which, layer_index layer,
                             const digest& receipt) {
  const duty_key key = key_of(about, which.unit);
  if (duties_.contains(key)) {
    seen_[key] = {layer, receipt, {}};
  }
}

std::vector<ledger::compensate> drawn_audits::unsaid(time_point now) {
  std::vector<ledger::compensate> all;
  for (auto& [key, one] : seen_) {
    if (all.size() >= limits::audits_said_at_once) {
      break;
    }
    if (one.said != time_point{} && now - one.said < limits::audit_say_again) {
      continue;
    }
    one.said = now;
    const ledger::audit_unit& u = duties_.at(key).unit;
    all.push_back({u.request, u.window, one.layer, one.receipt, u.signer, self_, 0});
  }
  return all;
}

} // namespace ovir::actors
