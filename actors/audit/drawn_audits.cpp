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
      if (found != followed_.end() && found->second.bytes == nullptr && oldest != about) {
        followed_.erase(found);
      } else if (found != followed_.end()) {
        followed_order_.push_back(oldest);
        break; // receipts are bounded by their bytes
      }
    }
  }
  return at->second;
}

void drawn_audits::hold(const digest& about, receipt_bytes bytes, time_point now) {
  followed& f = follow(about);
  if (f.bytes != nullptr) {
    held_bytes_ -= f.bytes->size();
    std::erase(held_order_, about);
  }
  held_bytes_ += bytes->size();
  f.bytes = std::move(bytes);
  f.since = now;
  held_order_.push_back(about);
  while (held_bytes_ > limits::held_receipts_bytes_max && held_order_.size() > 1) {
    const auto oldest = followed_.find(held_order_.front());
    held_order_.pop_front();
    held_bytes_ -= oldest->second.bytes->size();
    crowded_out_.push_back(std::move(oldest->second.bytes));
    std::erase(followed_order_, oldest->first);
    followed_.erase(oldest);
  }
}

void drawn_audits::add_duty(const ledger::audit_duty& d) {
  const unit what{d.unit.window, d.unit.signer};
  if (const auto found = followed_.find(d.about); found != followed_.end()) {
    found->second.undrawn = found->second.undrawn || d.verifiers.empty();
    for (const node_id& verifier : d.verifiers) {
      found->second.open[verifier].insert(what);
    }
  }
  if (std::find(d.verifiers.begin(), d.verifiers.end(), self_) == d.verifiers.end()) {
    return;
  }
  const std::tuple key{d.about, d.unit.window, d.unit.signer};
  if (duties_.emplace(key, d.unit.request).second) {
    order_.push_back(key);
    if (order_.size() > limits::audit_duties_max) {
      duties_.erase(order_.front());
      order_.pop_front();
    }
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
    if (const auto found = followed_.find(a.about); found != followed_.end()) {
      if (const auto open = found->second.open.find(a.verifier); open != found->second.open.end()) {
        open->second.erase({a.window, a.signer});
        if (open->second.empty()) {
          found->second.open.erase(open);
        }
      }
    }
    if (a.verifier == self_) {
      finish(a.about, a.window, a.signer);
    }
  }
}

/// Nothing more follows from it.
void drawn_audits::close(const digest& about, due_receipts& out) {
  const auto found = followed_.find(about);
  const followed& f = found->second;
  out.unaudited += f.open.empty() ? 0 : 1;
  held_bytes_ -= f.bytes->size();
  std::erase(held_order_, about);
  std::erase(followed_order_, about);
  followed_.erase(found);
}

drawn_audits::due_receipts drawn_audits::due(time_point now) {
  due_receipts out;
  out.undrawn = std::exchange(crowded_out_, {});
  std::vector<digest> over;
  for (const digest& about : held_order_) {
    followed& f = followed_.at(about);
    const auto age = now - f.since;
    for (const auto& [verifier, units] : f.open) {
      auto& last = f.offered[verifier];
      if (last == time_point{} || now - last >= limits::audit_offer_again) {
        last = now;
        std::set<node_id> signers;
        for (const unit& u : units) {
          signers.insert(std::get<node_id>(u));
        }
        out.offers.push_back({about, verifier, std::move(signers), f.bytes});
      }
    }
    const bool never_entered = f.accrued == 0 && age >= limits::audit_entry_wait;
    if (std::exchange(f.undrawn, false) || never_entered) {
      out.undrawn.push_back(f.bytes);
    }
    const bool all_drawn = f.settled && f.drawn >= f.accrued && f.accrued > 0;
    if (never_entered || (all_drawn && f.open.empty()) || age >= limits::held_receipt_lasts) {
      over.push_back(about);
    }
  }
  for (const digest& about : over) {
    close(about, out);
  }
  return out;
}

void drawn_audits::pass_over(const digest& about, const node_id& verifier, const node_id& signer) {
  const auto found = followed_.find(about);
  const auto units = found == followed_.end() ? decltype(followed::open)::iterator{}
                                              : found->second.open.find(verifier);
  if (found == followed_.end() || units == found->second.open.end()) {
    return;
  }
  const auto passed =
      std::erase_if(units->second, [&](const unit& u) { return std::get<node_id>(u) == signer; });
  found->second.undrawn = found->second.undrawn || passed > 0;
  if (units->second.empty()) {
    found->second.open.erase(units);
  }
}

std::vector<drawn_audits::duty> drawn_audits::duties_of(const digest& about) const {
  std::vector<duty> all;
  for (auto at = duties_.lower_bound({about, 0, node_id{}});
       at != duties_.end() && std::get<0>(at->first) == about; ++at) {
    all.push_back({at->second, std::get<1>(at->first), std::get<2>(at->first)});
  }
  return all;
}

void drawn_audits::finish(const digest& about, std::uint32_t window, const node_id& signer) {
  const std::tuple key{about, window, signer};
  if (duties_.erase(key) > 0) {
    std::erase(order_, key);
  }
}

} // namespace ovir::actors
