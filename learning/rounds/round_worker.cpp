#include "learning/rounds/round_worker.hpp"

#include "learning/rounds/accountant.hpp"
#include "learning/rounds/discrete_gaussian.hpp"
#include "learning/rounds/fixed_point.hpp"
#include "messages/wire/bytes.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <set>
#include <utility>

namespace ovir::learning {

namespace {

/// How far another machine's logarithms may be from ours.
constexpr double epsilon_tolerance = 1e-9;

bool contains(const std::vector<node_id>& sorted, const node_id& n) {
  return std::binary_search(sorted.begin(), sorted.end(), n);
}

bool sorted_once(const std::vector<node_id>& list) {
  return std::adjacent_find(list.begin(), list.end(), std::greater_equal<>{}) == list.end();
}

std::array<std::byte, share_bytes> bytes_of(const secret_share& mask_key,
                                            const secret_share& self_mask) {
  std::vector<std::byte> all;
  all.reserve(share_bytes);
  byte_writer w{all};
  for (const secret_share* const share : {&mask_key, &self_mask}) {
    for (const std::uint64_t value : share->values) {
      w.number(value);
    }
  }
  std::array<std::byte, share_bytes> out{};
  std::copy(all.begin(), all.end(), out.begin());
  wipe(all);
  return out;
}

bool close_to(double a, double b) { return std::abs(a - b) <= epsilon_tolerance * std::abs(b); }

} // namespace

result<void> check_offer(const round_offer& offer, const node_id& self, const worker_terms& terms) {
  const round_task& task = offer.task;
  if (task.coordinator != terms.coordinator || !signed_by_its_coordinator(offer)) {
    return fail(errc::digest_mismatch, "the task is not signed by the coordinator {}",
                short_name(terms.coordinator));
  }
  OVIR_TRY(check_task(task));
  if (task.mode != terms.mode) {
    return fail(errc::invalid_argument,
                "the round is {}, and this worker takes part in rounds that "
                "are {}",
                to_string(task.mode), to_string(terms.mode));
  }
  if (!task.place_of(self)) {
    return fail(errc::invalid_argument, "this worker is no member of the round; the coordinator's "
                                        "list lacks its key");
  }
  for (const node_id& n : task.members) {
    if (!contains(terms.accepted, n)) {
      return fail(errc::invalid_argument,
                  "member {} of the round is not in this worker's list of members: a coordinator "
                  "that may choose all others sees one worker's update",
                  to_hex(n));
    }
  }
  if (const double epsilon = epsilon_of(task);
      task.mode == round_mode::masked && !(epsilon <= terms.epsilon_max)) {
    return fail(errc::invalid_argument,
                "the round has an epsilon of {:.4f}, and this worker takes "
                "{:.4f} at most",
                epsilon, terms.epsilon_max);
  }
  if (hash_plain(offer.adapter) != task.adapter) {
    return fail(errc::digest_mismatch, "the adapter that came is not the one that the task names");
  }
  return {};
}

result<void> check_receipt(const round_task& task, const round_receipt& receipt) {
  if (receipt.task != name_of(task) || receipt.worker != task.coordinator || !is_signed(receipt)) {
    return fail(errc::digest_mismatch,
                "the receipt is not this round's, signed by its coordinator");
  }
  bool sound = sorted_once(receipt.survivors) && receipt.survivors.size() >= task.survivors_min();
  for (const node_id& n : receipt.survivors) {
    sound = sound && task.place_of(n);
  }
  if (!sound) {
    return fail(errc::malformed, "the survivors of the receipt are no cohort of the round");
  }
  if (task.mode == round_mode::open) {
    return {};
  }
  const double rho = rho_of(least_noise(task));
  if (!close_to(std::bit_cast<double>(receipt.rho_bits), rho) ||
      !close_to(std::bit_cast<double>(receipt.epsilon_bits), epsilon_of(task))) {
    return fail(errc::malformed, "rho or epsilon of the receipt is not what the task implies");
  }
  return {};
}

round_worker::round_worker(const secret_key& key, round_task task, std::vector<std::int64_t> units,
                           random_source random)
    : key_(key), task_(std::move(task)), name_(name_of(task_)), units_(std::move(units)),
      random_(std::move(random)), mask_secret_(drawn_secret(random_)),
      share_secret_(drawn_secret(random_)), self_mask_(drawn_secret(random_)) {
  OVIR_CHECK(task_.mode == round_mode::masked && task_.place_of(key_.id()).has_value());
  OVIR_CHECK(units_.size() == task_.numbers && within_norm(units_, task_.clip_units));
  key_advert own{name_, {}, public_of(mask_secret_), public_of(share_secret_), {}};
  sign(own, key_);
  advert_ = std::move(own);
}

void round_worker::end() {
  step_ = step::ended;
  mask_secret_ = secret32{};
  share_secret_ = secret32{};
  self_mask_ = secret32{};
  held_.clear();
  last_in_.reset();
  last_out_ = round_end{};
}

result<letter> round_worker::take(const letter& in) {
  const digest name = hash("ovir/rounds-1/seen", to_bytes(in));
  if (last_in_ == name) {
    return last_out_;
  }
  if (step_ == step::ended) {
    return fail(errc::cancelled, "this worker has left the round");
  }
  auto out = [&]() -> result<letter> {
    if (task_of(in) != name_) {
      return fail(errc::malformed, "the coordinator sent a letter of another round");
    }
    const auto* const keys = std::get_if<key_list>(&in);
    const auto* const shares = std::get_if<share_delivery>(&in);
    const auto* const survivors = std::get_if<survivor_list>(&in);
    const auto* const votes = std::get_if<vote_list>(&in);
    if (keys != nullptr && step_ == step::keys) {
      return take_keys(*keys);
    }
    if (shares != nullptr && step_ == step::shares) {
      return take_shares(*shares);
    }
    if (survivors != nullptr && step_ == step::survivors) {
      return take_survivors(*survivors);
    }
    if (votes != nullptr && step_ == step::votes) {
      return take_votes(*votes);
    }
    return fail(errc::malformed, "the coordinator sent a letter that this step of the round does "
                                 "not have");
  }();
  if (!out) {
    end();
    return out.error();
  }
  last_in_ = name;
  last_out_ = *out;
  return out;
}

const key_advert* round_worker::advert_of(const node_id& worker) const {
  const auto at =
      std::lower_bound(keys_.adverts.begin(), keys_.adverts.end(), worker,
                       [](const key_advert& a, const node_id& n) { return a.worker < n; });
  return at == keys_.adverts.end() || at->worker != worker ? nullptr : &*at;
}

result<void> round_worker::check_keys(const key_list& keys) const {
  std::vector<node_id> workers;
  std::set<std::array<std::uint8_t, 32>> distinct;
  bool has_own = false;
  for (const key_advert& a : keys.adverts) {
    workers.push_back(a.worker);
    distinct.insert(a.mask_key.bytes);
    distinct.insert(a.share_key.bytes);
    has_own = has_own || letter{a} == advert_;
    if (a.task != name_ || !task_.place_of(a.worker) || !is_signed(a)) {
      return fail(errc::digest_mismatch, "the keys of {} are not signed by a member for this round",
                  short_name(a.worker));
    }
  }
  if (!sorted_once(workers) || distinct.size() != 2 * workers.size() || !has_own) {
    return fail(errc::malformed, "the list of keys has one twice, or lacks this worker's");
  }
  if (workers.size() < task_.survivors_min()) {
    return fail(errc::malformed, "{} workers are below the least cohort of {}", workers.size(),
                task_.survivors_min());
  }
  return {};
}

result<letter> round_worker::take_keys(const key_list& keys) {
  OVIR_TRY(check_keys(keys));
  keys_ = keys;
  keys_name_ = name_of(keys_);
  std::vector<std::uint32_t> places;
  for (const key_advert& a : keys_.adverts) {
    places.push_back(*task_.place_of(a.worker) + 1);
  }
  keystream chance{drawn_secret(random_)};
  const auto mask_keys = split(mask_secret_, task_.threshold, places, chance);
  const auto self_masks = split(self_mask_, task_.threshold, places, chance);
  sealed_shares out{name_, {}, {}, {}};
  for (std::size_t i = 0; i < places.size(); ++i) {
    const key_advert& to = keys_.adverts[i];
    if (to.worker == key_.id()) {
      held_[to.worker] = {mask_keys[i], self_masks[i]};
      continue;
    }
    OVIR_ASSIGN(const secret32 with, agreed("ovir/rounds-1/share-key", share_secret_, to.share_key,
                                            keys_name_, key_.id(), to.worker));
    auto text = bytes_of(mask_keys[i], self_masks[i]);
    out.to.push_back({to.worker, seal(with, text)});
    wipe(text);
  }
  sign(out, key_);
  step_ = step::shares;
  return letter{std::move(out)};
}

// A share that its sender sealed wrongly is as good as none: others may have good ones.
result<void> round_worker::hold(const sealed_share& from) {
  const key_advert* const sender = advert_of(from.peer);
  if (sender == nullptr || from.peer == key_.id()) {
    return fail(errc::malformed, "a share came from a worker that is not in the list of keys");
  }
  OVIR_ASSIGN(const secret32 with, agreed("ovir/rounds-1/share-key", share_secret_,
                                          sender->share_key, keys_name_, from.peer, key_.id()));
  auto text = unseal(with, from.bytes);
  if (!text) {
    return {};
  }
  byte_reader r{*text};
  const std::uint32_t at = *task_.place_of(key_.id()) + 1;
  held_shares shares{{at, {}}, {at, {}}};
  bool sound = true;
  for (secret_share* const share : {&shares.mask_key, &shares.self_mask}) {
    for (std::uint64_t& value : share->values) {
      value = r.number<std::uint64_t>();
      sound = sound && value < share_prime;
    }
  }
  wipe(*text);
  if (sound) {
    held_[from.peer] = shares;
  }
  return {};
}

result<letter> round_worker::take_shares(const share_delivery& delivery) {
  for (const sealed_share& from : delivery.from) {
    OVIR_TRY(hold(from));
    sharers_.push_back(from.peer);
  }
  sharers_.push_back(key_.id());
  std::sort(sharers_.begin(), sharers_.end());
  if (!sorted_once(sharers_) || sharers_.size() < task_.survivors_min()) {
    return fail(errc::malformed, "shares of {} workers came, of some twice or of fewer than {}",
                sharers_.size(), task_.survivors_min());
  }
  OVIR_TRY(add_noise());
  OVIR_ASSIGN(auto values, masked_values());
  masked_update out{name_, {}, commitment_to(name_, key_.id(), self_mask_), std::move(values), {}};
  sign(out, key_);
  step_ = step::survivors;
  return letter{std::move(out)};
}

result<void> round_worker::add_noise() {
  keystream chance{drawn_secret(random_)};
  noised_.reserve(units_.size());
  for (const std::int64_t x : units_) {
    OVIR_ASSIGN(const std::int64_t noise, drawn_gaussian(task_.noise_variance, chance));
    const std::int64_t sum = x + noise;
    if (sum > limits::round_value_max || sum < -limits::round_value_max) {
      return fail(errc::internal, "noise of a size that never comes was drawn");
    }
    noised_.push_back(sum);
  }
  return {};
}

// Of two workers the lesser adds the mask of the pair and the greater takes it away.
result<std::vector<std::uint64_t>> round_worker::masked_values() const {
  std::vector<std::uint64_t> values = wrapped(noised_);
  add_mask(values, self_mask_);
  for (const node_id& other : sharers_) {
    if (other == key_.id()) {
      continue;
    }
    const auto [less, greater] = std::minmax(key_.id(), other);
    OVIR_ASSIGN(const secret32 mask, agreed("ovir/rounds-1/pair-mask", mask_secret_,
                                            advert_of(other)->mask_key, keys_name_, less, greater));
    if (key_.id() < other) {
      add_mask(values, mask);
    } else {
      take_mask(values, mask);
    }
  }
  return values;
}

result<letter> round_worker::take_survivors(const survivor_list& list) {
  if (!sorted_once(list.survivors) || list.survivors.size() < task_.survivors_min()) {
    return fail(errc::malformed,
                "a list of {} survivors, of which one is there twice or which are "
                "fewer than {}",
                list.survivors.size(), task_.survivors_min());
  }
  if (!contains(list.survivors, key_.id())) {
    return fail(errc::malformed, "the coordinator says that this worker is gone, and it is here");
  }
  for (const node_id& n : list.survivors) {
    if (!contains(sharers_, n)) {
      return fail(errc::malformed, "survivor {} shared no secrets", short_name(n));
    }
  }
  survivors_ = list.survivors;
  survivor_vote out{name_, {}, view_of(keys_name_, survivors_), {}};
  sign(out, key_);
  step_ = step::votes;
  return letter{std::move(out)};
}

result<letter> round_worker::take_votes(const vote_list& list) {
  const digest view = view_of(keys_name_, survivors_);
  std::vector<node_id> voters;
  for (const survivor_vote& v : list.votes) {
    voters.push_back(v.worker);
    if (v.task != name_ || v.view != view || !contains(survivors_, v.worker) || !is_signed(v)) {
      return fail(errc::digest_mismatch,
                  "the vote of {} is not for this worker's list of survivors",
                  short_name(v.worker));
    }
  }
  if (!sorted_once(voters) || voters.size() < task_.threshold) {
    return fail(errc::malformed, "{} votes, one of them twice or fewer than {}", voters.size(),
                task_.threshold);
  }
  opened_shares out{name_, {}, {}, {}};
  for (const auto& [of, shares] : held_) {
    if (!contains(sharers_, of)) {
      continue;
    }
    const bool survived = contains(survivors_, of);
    out.shares.push_back({of, survived ? share_kind::self_mask : share_kind::mask_key,
                          survived ? shares.self_mask.values : shares.mask_key.values});
  }
  sign(out, key_);
  step_ = step::opened;
  return letter{std::move(out)};
}

} // namespace ovir::learning
