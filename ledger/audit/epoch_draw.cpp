#include "ledger/audit/epoch_draw.hpp"

#include "ledger/audit/audit_draw.hpp"
#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/standing.hpp"
#include "messages/limits/audit.hpp"
#include "messages/wire/fields.hpp"

#include <algorithm>
#include <limits>

namespace ovir::ledger {

template <class Io, of_type<epoch_accrual::share> T>
void fields(Io& io, T& s) {
  io(s.signer, s.statement, s.rate_ppm);
}
template <class Io, of_type<epoch_accrual> T>
void fields(Io& io, T& a) {
  io(a.request, a.first, a.windows);
  io.template list<std::uint16_t>(a.barred, "verifiers", limits::epoch_verifiers_max);
  io.template list<std::uint8_t>(a.shares, "shares", limits::ledger_participants_max);
}
template <class Io, of_type<epoch_verifier> T>
void fields(Io& io, T& v) {
  io(v.node, v.weight, v.link);
}
template <class Io, of_type<epoch_draw> T>
void fields(Io& io, T& d) {
  io(d.number, d.first, d.last, d.chain, d.auditors);
  io.template list<std::uint16_t>(d.verifiers, "verifiers", limits::epoch_verifiers_max);
  io.template list<std::uint32_t>(d.accruals, "accruals", std::numeric_limits<std::size_t>::max());
}

namespace {

constexpr std::uint32_t reader_version = 1;

digest as_digest(const node_id& id) {
  digest d;
  d.bytes = id.key;
  return d;
}

std::uint64_t first_bytes(const digest& d) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < sizeof(number); ++i) { // little-endian, whatever the machine
    number |= std::uint64_t{d.bytes[i]} << (8 * i);
  }
  return number;
}

/// Who audits the units of one accrual.
class chooser {
public:
  chooser(const epoch_draw& d, const digest& seed, const epoch_accrual& a)
      : d_(d), seed_(seed), may_(d.verifiers.size(), true) {
    for (const std::uint16_t place : a.barred) {
      may_[place] = false;
    }
    for (std::size_t place = 0; place < may_.size(); ++place) {
      if (may_[place] && is_overdue(place)) {
        if (const auto next = next_of(place)) {
          stand_ins_.push_back(*next);
        }
        all_ = true;
      }
    }
  }

  /// Nothing: it is not drawn.
  [[nodiscard]] std::optional<drawn_unit> draw(const audit_unit& u, std::uint64_t rate_ppm) const {
    static const hasher empty{"ovir/ledger/v1/draw"};
    const digest name = digest_of(u);
    const std::uint64_t number = first_bytes(hasher{empty}.update(seed_).update(name).finish());
    const bool by_lot = is_sampled(number, rate_ppm);
    if (rate_ppm == 0 || (!by_lot && !all_)) {
      return std::nullopt;
    }
    std::vector<std::size_t> picked;
    if (by_lot) {
      pick(name, picked);
    }
    for (const std::size_t place : stand_ins_) {
      add(picked, place);
    }
    drawn_unit drawn{u, {}};
    for (const std::size_t place : picked) {
      drawn.verifiers.push_back(d_.verifiers[place].node);
    }
    return drawn;
  }

private:
  [[nodiscard]] bool is_overdue(std::size_t place) const {
    return d_.verifiers[place].link == digest{};
  }
  /// The next in the order of keys that may audit and is not overdue itself.
  [[nodiscard]] std::optional<std::size_t> next_of(std::size_t place) const {
    for (std::size_t i = 1; i < may_.size(); ++i) {
      const std::size_t at = (place + i) % may_.size();
      if (may_[at] && !is_overdue(at)) {
        return at;
      }
    }
    return std::nullopt;
  }
  static void add(std::vector<std::size_t>& picked, std::size_t place) {
    if (std::find(picked.begin(), picked.end(), place) == picked.end()) {
      picked.push_back(place);
    }
  }
  void pick(const digest& name, std::vector<std::size_t>& picked) const {
    static const hasher empty{"ovir/ledger/v1/pick"};
    std::vector<bool> left = may_;
    for (std::uint32_t n = 0; n < d_.auditors; ++n) {
      std::uint64_t total = 0; // at most epoch_verifiers_max * epoch_weight_max
      for (std::size_t place = 0; place < left.size(); ++place) {
        total += left[place] ? d_.verifiers[place].weight : 0;
      }
      if (total == 0) {
        return;
      }
      const digest lot = hasher{empty}.update(seed_).update(name).update_u32(n).finish();
      auto at = static_cast<std::uint64_t>(wide{first_bytes(lot)} * total >> 64U);
      std::size_t place = 0;
      for (; !left[place] || at >= d_.verifiers[place].weight; ++place) {
        at -= left[place] ? d_.verifiers[place].weight : 0;
      }
      left[place] = false;
      picked.push_back(place);
    }
  }

  const epoch_draw& d_;
  const digest& seed_;
  std::vector<bool> may_;
  std::vector<std::size_t> stand_ins_; ///< for those that are overdue
  bool all_{false};                    ///< one that is overdue could have been picked
};

} // namespace

digest digest_of(const audit_unit& u) {
  static const hasher empty{"ovir/ledger/v1/unit"};
  return hasher{empty}
      .update(u.request)
      .update_u32(u.window)
      .update(as_digest(u.signer))
      .update(u.statement)
      .finish();
}

digest epoch_seed(const digest& chain, std::span<const epoch_verifier> verifiers) {
  hasher h{"ovir/ledger/v1/seed"};
  h.update(chain).update_u32(static_cast<std::uint32_t>(verifiers.size()));
  for (const epoch_verifier& v : verifiers) {
    h.update(as_digest(v.node)).update(v.link);
  }
  return h.finish();
}

bool epoch_draw::complete() const {
  return std::none_of(verifiers.begin(), verifiers.end(),
                      [](const epoch_verifier& v) { return v.link == digest{}; });
}

void epoch_draw::each_drawn(const std::function<void(const drawn_unit&)>& visit) const {
  if (verifiers.empty()) {
    return;
  }
  const digest from = seed();
  for (const epoch_accrual& a : accruals) {
    const chooser choose{*this, from, a};
    for (std::uint32_t window = a.first; window < a.first + a.windows; ++window) {
      for (const epoch_accrual::share& s : a.shares) {
        if (const auto drawn =
                choose.draw({a.request, window, s.signer, s.statement}, s.rate_ppm)) {
          visit(*drawn);
        }
      }
    }
  }
}

std::vector<audit_unit> duties_of(const epoch_draw& d, const node_id& verifier) {
  std::vector<audit_unit> its;
  d.each_drawn([&](const drawn_unit& one) {
    if (std::find(one.verifiers.begin(), one.verifiers.end(), verifier) != one.verifiers.end()) {
      its.push_back(one.unit);
    }
  });
  return its;
}

std::vector<epoch_draw> epoch_reader::take(std::uint64_t index, const entry& e, const digest& chain,
                                           const state& after) {
  std::vector<epoch_draw> told;
  const auto tell_closed = [&] {
    told.push_back(std::move(*closed_));
    closed_.reset();
  };
  if (const accrue* const work = std::get_if<accrue>(&e.what)) {
    note(*work, after);
  } else if (const chain_link* const x = std::get_if<chain_link>(&e.what)) {
    if (closed_ && closed_->number == x->epoch) {
      epoch_verifier* const its = find_verifier(closed_->verifiers, x->verifier);
      OVIR_CHECK(its != nullptr, index); // the rules took it
      its->link = x->link;
      if (closed_->complete()) {
        tell_closed();
      }
    }
  } else if (std::holds_alternative<epoch_end>(e.what)) {
    if (closed_) { // final, and overdue is who sent no link
      tell_closed();
    }
    close(index, chain, after);
    if (closed_ && closed_->complete()) {
      tell_closed();
    }
  } else if (index == 0) {
    current_.emplace();
  }
  return told;
}

/// Rates are as of now: units of this epoch change them for the next one.
void epoch_reader::close(std::uint64_t index, const digest& chain, const state& after) {
  if (current_) {
    const deterrence_terms& terms = after.origin().rules.deterrence;
    current_->last = index;
    current_->chain = chain;
    current_->auditors = terms.auditors;
    for (epoch_accrual& a : current_->accruals) {
      for (epoch_accrual::share& s : a.shares) {
        const account& signer = *after.find(s.signer);
        s.rate_ppm = signer.ejected ? 0 : audit_rate_ppm(signer, terms.audit_rate_ppm);
      }
    }
    closed_ = std::move(current_);
  }
  current_.emplace();
  current_->number = after.epochs().number;
  current_->first = index + 1;
  current_->verifiers = after.epochs().verifiers;
}

/// Who may not audit is fixed here, before anybody knows what is drawn.
void epoch_reader::note(const accrue& x, const state& after) {
  if (!current_ || current_->verifiers.empty() || x.computed.empty()) {
    return;
  }
  const request_record& q = *after.find_request(x.request);
  epoch_accrual a;
  a.request = x.request;
  const paid_windows paid = windows_paid(q.prompt, x.window);
  a.first = paid.first;
  a.windows = paid.count;
  const std::vector<epoch_verifier>& all = current_->verifiers;
  for (std::size_t place = 0; place < all.size(); ++place) {
    const node_id& node = all[place].node;
    if (node == q.payer || node == q.scheduler ||
        std::binary_search(q.path.begin(), q.path.end(), node)) {
      a.barred.push_back(static_cast<std::uint16_t>(place));
    }
  }
  for (const window_share& s : x.computed) {
    a.shares.push_back({s.node, s.statement, 0});
  }
  current_->accruals.push_back(std::move(a));
}

std::vector<std::byte> epoch_reader::snapshot() const {
  std::vector<std::byte> out;
  byte_writer w{out};
  field_writer io{w};
  io(reader_version);
  for (const std::optional<epoch_draw>* d : {&current_, &closed_}) {
    io(d->has_value());
    if (*d) {
      io(**d);
    }
  }
  return out;
}

result<epoch_reader> epoch_reader::restore(std::span<const std::byte> bytes) {
  byte_reader r{bytes};
  field_reader io{r};
  epoch_reader made;
  const bool right = r.number<std::uint32_t>() == reader_version;
  for (std::optional<epoch_draw>* d : {&made.current_, &made.closed_}) {
    if (r.number<std::uint8_t>() != 0) {
      io(d->emplace());
      for (const epoch_accrual& a : (*d)->accruals) {
        for (const std::uint16_t place : a.barred) {
          io.expect(place < (*d)->verifiers.size(), "a verifier that is not there");
        }
      }
    }
  }
  if (!right || !r.finished()) {
    return fail(errc::malformed, "what was read of the log's epochs is damaged; read it again");
  }
  return made;
}

} // namespace ovir::ledger
