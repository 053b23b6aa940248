#include "learning/rounds/round_coordinator.hpp"

#include "learning/rounds/fixed_point.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ovir::learning {

namespace {

digest name_of_letter(const letter& in) { return hash("ovir/rounds-1/letter", to_bytes(in)); }

error late(std::string_view what) {
  return fail(errc::timed_out, "{} came after its phase of the round", what);
}

node_id sender_of(const letter& in) {
  return std::visit(
      [](const auto& x) {
        if constexpr (requires { x.worker; }) {
          return x.worker;
        } else {
          return node_id{};
        }
      },
      in);
}

} // namespace

std::string_view to_string(round_phase phase) noexcept {
  switch (phase) {
  case round_phase::keys: return "keys";
  case round_phase::shares: return "shares";
  case round_phase::updates: return "updates";
  case round_phase::votes: return "votes";
  case round_phase::openings: return "openings";
  case round_phase::summed: return "summed";
  case round_phase::failed: return "failed";
  }
  return "unknown";
}

round_coordinator::round_coordinator(round_task task)
    : task_(std::move(task)), name_(name_of(task_)),
      phase_(task_.mode == round_mode::masked ? round_phase::keys : round_phase::updates),
      sum_(task_.numbers) {
  OVIR_CHECK(check_task(task_).has_value());
}

void round_coordinator::fail_round(std::string reason) {
  phase_ = round_phase::failed;
  reason_ = std::move(reason);
}

std::vector<node_id> round_coordinator::survivors() const {
  std::vector<node_id> out;
  for (const auto& [worker, update] : updates_) {
    out.push_back(worker);
  }
  return out;
}

std::vector<node_id> round_coordinator::finishers() const {
  if (task_.mode == round_mode::open) {
    return survivors();
  }
  std::vector<node_id> out;
  for (const auto& [worker, opened] : openings_) {
    out.push_back(worker);
  }
  return out;
}

bool round_coordinator::is_new(const letter& in) const {
  const node_id from = sender_of(in);
  const auto same = [&](const auto& taken, const auto& x) {
    const auto at = taken.find(from);
    return at != taken.end() && at->second == x;
  };
  if (const auto* const a = std::get_if<key_advert>(&in)) {
    return !same(adverts_, *a);
  }
  if (const auto* const s = std::get_if<sealed_shares>(&in)) {
    return !same(shares_, *s);
  }
  if (const auto* const v = std::get_if<survivor_vote>(&in)) {
    return !same(votes_, *v);
  }
  if (const auto* const o = std::get_if<opened_shares>(&in)) {
    return !same(openings_, *o);
  }
  const auto at = updates_.find(from);
  return at == updates_.end() || at->second.name != name_of_letter(in);
}

result<void> round_coordinator::take(const node_id& from, const letter& in) {
  if (task_of(in) != name_ || from != sender_of(in) || !task_.place_of(from)) {
    return fail(errc::malformed, "a letter of another round or in the name of another worker");
  }
  return is_new(in) ? take_new(in) : result<void>{};
}

result<void> round_coordinator::take_new(const letter& in) {
  const auto signed_by_its_worker = [](const auto& x) -> result<void> {
    return is_signed(x) ? result<void>{}
                        : fail(errc::digest_mismatch, "a letter of the round is not signed by {}",
                               short_name(x.worker));
  };
  if (const auto* const a = std::get_if<key_advert>(&in)) {
    OVIR_TRY(signed_by_its_worker(*a));
    return take_advert(*a);
  }
  if (const auto* const s = std::get_if<sealed_shares>(&in)) {
    OVIR_TRY(signed_by_its_worker(*s));
    return take_shares(*s);
  }
  if (const auto* const m = std::get_if<masked_update>(&in);
      m != nullptr && task_.mode == round_mode::masked) {
    OVIR_TRY(signed_by_its_worker(*m));
    return take_update(m->values, m->worker, {name_of_letter(in), m->commitment});
  }
  if (const auto* const u = std::get_if<open_update>(&in);
      u != nullptr && task_.mode == round_mode::open) {
    OVIR_TRY(signed_by_its_worker(*u));
    const auto units = unwrapped(u->values, 1);
    if (!units || !within_norm(*units, task_.clip_units)) {
      return fail(errc::malformed, "the update of {} is not within the norm of the task",
                  short_name(u->worker));
    }
    return take_update(u->values, u->worker, {name_of_letter(in), {}});
  }
  if (const auto* const v = std::get_if<survivor_vote>(&in)) {
    OVIR_TRY(signed_by_its_worker(*v));
    return take_vote(*v);
  }
  if (const auto* const o = std::get_if<opened_shares>(&in)) {
    OVIR_TRY(signed_by_its_worker(*o));
    return take_opening(*o);
  }
  return fail(errc::malformed, "a worker sent a letter that workers do not send in this round");
}

namespace {

result<void> only_one(bool there, const node_id& from) {
  return there ? fail(errc::superseded, "{} sent a second letter for one step of the round",
                      short_name(from))
               : result<void>{};
}

} // namespace

result<void> round_coordinator::take_advert(const key_advert& a) {
  OVIR_TRY(only_one(adverts_.contains(a.worker), a.worker));
  if (phase_ != round_phase::keys) {
    return late("an advert of keys");
  }
  for (const auto& [worker, other] : adverts_) {
    for (const public_key& key : {a.mask_key, a.share_key}) {
      if (key == other.mask_key || key == other.share_key) {
        return fail(errc::malformed, "{} advertises a key of {}", short_name(a.worker),
                    short_name(worker));
      }
    }
  }
  if (a.mask_key == a.share_key) {
    return fail(errc::malformed, "{} advertises one key twice", short_name(a.worker));
  }
  adverts_.emplace(a.worker, a);
  return {};
}

result<void> round_coordinator::take_shares(const sealed_shares& s) {
  OVIR_TRY(only_one(shares_.contains(s.worker), s.worker));
  if (phase_ != round_phase::shares || !adverts_.contains(s.worker)) {
    return late("shares");
  }
  bool sound = s.to.size() + 1 == adverts_.size();
  auto wanted = adverts_.begin();
  for (const sealed_share& to : s.to) {
    if (wanted != adverts_.end() && wanted->first == s.worker) {
      ++wanted;
    }
    sound = sound && wanted != adverts_.end() && wanted->first == to.peer;
    if (!sound) {
      break;
    }
    ++wanted;
  }
  if (!sound) {
    return fail(errc::malformed, "the shares of {} are not one for each other worker",
                short_name(s.worker));
  }
  shares_.emplace(s.worker, s);
  return {};
}

result<void> round_coordinator::take_update(const std::vector<std::uint64_t>& values,
                                            const node_id& from, taken_update taken) {
  OVIR_TRY(only_one(updates_.contains(from), from));
  if (phase_ != round_phase::updates ||
      (task_.mode == round_mode::masked && !shares_.contains(from))) {
    return late("an update");
  }
  if (values.size() != task_.numbers) {
    return fail(errc::malformed, "the update of {} has {} numbers, and the task says {}",
                short_name(from), values.size(), task_.numbers);
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum_[i] += values[i];
  }
  updates_.emplace(from, taken);
  return {};
}

result<void> round_coordinator::take_vote(const survivor_vote& v) {
  OVIR_TRY(only_one(votes_.contains(v.worker), v.worker));
  if (phase_ != round_phase::votes || !updates_.contains(v.worker)) {
    return late("a vote");
  }
  if (v.view != view_of(keys_name_, survivors())) {
    return fail(errc::malformed, "{} votes for another list of survivors", short_name(v.worker));
  }
  votes_.emplace(v.worker, v);
  return {};
}

result<void> round_coordinator::take_opening(const opened_shares& o) {
  OVIR_TRY(only_one(openings_.contains(o.worker), o.worker));
  if (phase_ != round_phase::openings || !votes_.contains(o.worker)) {
    return late("opened shares");
  }
  for (const opened_share& s : o.shares) {
    const share_kind wanted =
        updates_.contains(s.of) ? share_kind::self_mask : share_kind::mask_key;
    if (!shares_.contains(s.of) || s.kind != wanted) {
      return fail(errc::malformed, "{} opened a share that was not asked for",
                  short_name(o.worker));
    }
  }
  openings_.emplace(o.worker, o);
  return {};
}

bool round_coordinator::has_answered(const node_id& worker) const {
  switch (phase_) {
  case round_phase::keys: return adverts_.contains(worker);
  case round_phase::shares: return shares_.contains(worker);
  case round_phase::updates: return updates_.contains(worker);
  case round_phase::votes: return votes_.contains(worker);
  case round_phase::openings: return openings_.contains(worker);
  case round_phase::summed:
  case round_phase::failed: break;
  }
  return false;
}

std::size_t round_coordinator::answered() const {
  switch (phase_) {
  case round_phase::keys: return adverts_.size();
  case round_phase::shares: return shares_.size();
  case round_phase::updates: return updates_.size();
  case round_phase::votes: return votes_.size();
  case round_phase::openings: return openings_.size();
  case round_phase::summed:
  case round_phase::failed: break;
  }
  return 0;
}

std::size_t round_coordinator::expected() const {
  switch (phase_) {
  case round_phase::keys: return task_.members.size();
  case round_phase::shares: return adverts_.size();
  case round_phase::updates:
    return task_.mode == round_mode::masked ? shares_.size() : task_.members.size();
  case round_phase::votes: return updates_.size();
  case round_phase::openings: return votes_.size();
  case round_phase::summed:
  case round_phase::failed: break;
  }
  return 0;
}

std::size_t round_coordinator::needed() const {
  const bool of_threshold = phase_ == round_phase::votes || phase_ == round_phase::openings;
  return of_threshold ? task_.threshold : task_.survivors_min();
}

bool round_coordinator::is_complete() const { return answered() == expected(); }
bool round_coordinator::is_enough() const { return answered() >= needed(); }

void round_coordinator::end_phase() {
  OVIR_CHECK(phase_ != round_phase::summed && phase_ != round_phase::failed);
  if (!is_enough()) {
    return fail_round(fmt::format("in the phase {} {} of {} workers answered, and {} are needed",
                                  to_string(phase_), answered(), expected(), needed()));
  }
  if (phase_ == round_phase::keys) {
    keys_.task = name_;
    for (const auto& [worker, advert] : adverts_) {
      keys_.adverts.push_back(advert);
    }
    keys_name_ = name_of(keys_);
  }
  const bool last = phase_ == round_phase::openings ||
                    (phase_ == round_phase::updates && task_.mode == round_mode::open);
  if (!last) {
    phase_ = static_cast<round_phase>(static_cast<std::uint8_t>(phase_) + 1);
    return;
  }
  const auto done = task_.mode == round_mode::masked ? unmask() : result<void>{};
  if (!done) {
    return fail_round(done.error().message);
  }
  outcome_.survivors = survivors();
  auto sum = unwrapped(sum_, static_cast<std::uint32_t>(updates_.size()));
  if (!sum) {
    return fail_round(sum.error().message);
  }
  outcome_.sum = std::move(*sum);
  phase_ = round_phase::summed;
}

// Any threshold of right shares gives the secret, and what it must match is known. Of shares in a
// row, some choice is without those of one liar, or of several that stand together.
template <class Right>
result<secret32> round_coordinator::secret_of(const node_id& worker, share_kind kind,
                                              const Right& is_right) const {
  std::vector<secret_share> all;
  for (const auto& [from, opened] : openings_) {
    for (const opened_share& s : opened.shares) {
      if (s.of == worker && s.kind == kind) {
        all.push_back({*task_.place_of(from) + 1, s.values});
      }
    }
  }
  const std::size_t needed = task_.threshold;
  if (all.size() < needed) {
    return fail(errc::malformed, "{} workers have a share of {}'s secret, and {} are needed",
                all.size(), short_name(worker), needed);
  }
  const std::size_t choices = all.size() == needed ? 1 : all.size();
  for (std::size_t first = 0; first < choices && first < limits::round_rebuilds_max; ++first) {
    std::vector<secret_share> some;
    for (std::size_t i = 0; i < needed; ++i) {
      some.push_back(all[(first + i) % all.size()]);
    }
    const auto secret = rebuilt(some);
    if (secret && is_right(*secret)) {
      return *secret;
    }
  }
  return fail(errc::malformed,
              "the secret of {} could not be rebuilt: a worker sent wrong shares; repeat the round",
              short_name(worker));
}

result<void> round_coordinator::take_self_mask(const node_id& survivor) {
  const digest wanted = updates_.at(survivor).commitment;
  OVIR_ASSIGN(const secret32 mask,
              secret_of(survivor, share_kind::self_mask, [&](const secret32& s) {
                return commitment_to(name_, survivor, s) == wanted;
              }));
  take_mask(sum_, mask);
  return {};
}

result<void> round_coordinator::take_pair_masks(const node_id& vanished) {
  const public_key wanted = adverts_.at(vanished).mask_key;
  OVIR_ASSIGN(const secret32 key, secret_of(vanished, share_kind::mask_key, [&](const secret32& s) {
                return public_of(s) == wanted;
              }));
  for (const auto& [survivor, update] : updates_) {
    const auto [less, greater] = std::minmax(vanished, survivor);
    OVIR_ASSIGN(const secret32 mask,
                agreed("ovir/rounds-1/pair-mask", key, adverts_.at(survivor).mask_key, keys_name_,
                       less, greater));
    if (survivor < vanished) { // then the survivor added it
      take_mask(sum_, mask);
    } else {
      add_mask(sum_, mask);
    }
  }
  return {};
}

result<void> round_coordinator::unmask() {
  for (const auto& [worker, shares] : shares_) {
    OVIR_TRY(updates_.contains(worker) ? take_self_mask(worker) : take_pair_masks(worker));
  }
  return {};
}

share_delivery round_coordinator::delivery_for(const node_id& worker) const {
  share_delivery out{name_, {}};
  for (const auto& [from, shares] : shares_) {
    for (const sealed_share& s : shares.to) {
      if (s.peer == worker) {
        out.from.push_back({from, s.bytes});
      }
    }
  }
  return out;
}

std::optional<letter> round_coordinator::letter_for(const node_id& worker) const {
  const auto if_in = [&](const auto& those, auto make) -> std::optional<letter> {
    if (those.contains(worker)) {
      return letter{make()};
    }
    return letter{round_end{name_, "the round went on without this worker, which was late"}};
  };
  switch (phase_) {
  case round_phase::keys: return std::nullopt;
  case round_phase::shares: return if_in(adverts_, [&] { return keys_; });
  case round_phase::updates:
    if (task_.mode == round_mode::open) {
      return std::nullopt;
    }
    return if_in(shares_, [&] { return delivery_for(worker); });
  case round_phase::votes:
    return if_in(updates_, [&] { return survivor_list{name_, survivors()}; });
  case round_phase::openings:
    return if_in(votes_, [&] {
      vote_list out{name_, {}};
      for (const auto& [voter, vote] : votes_) {
        out.votes.push_back(vote);
      }
      return out;
    });
  case round_phase::summed: return std::nullopt; // the receipt, which the caller signs
  case round_phase::failed: return letter{round_end{name_, reason_}};
  }
  return std::nullopt;
}

} // namespace ovir::learning
