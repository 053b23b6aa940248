#include "ledger/rules/state.hpp"

#include "ledger/rules/rules.hpp"
#include "ledger/rules/state_bytes.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

constexpr std::size_t time_bytes = 8;   // at the front of an entry
constexpr std::size_t proof_bytes = 64; // at the end of a signed one
constexpr std::uint64_t seconds_per_minute = 60;

/// Tells a retry from another command under the same id. FNV-1a, eight bytes at a time: a collision
/// on purpose only makes its author's command count as a retry, which moves nothing.
std::uint64_t content_of(const entry& e, std::span<const std::byte> bytes) {
  const std::size_t tail = signer_of(e.what) != nullptr ? proof_bytes : 0;
  const std::span<const std::byte> said =
      bytes.subspan(time_bytes, bytes.size() - time_bytes - tail);
  std::uint64_t sum = 0xcbf2'9ce4'8422'2325ULL ^ said.size();
  for (std::size_t i = 0; i < said.size(); i += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, said.data() + i, std::min(sizeof(word), said.size() - i));
    sum = (sum ^ word) * 0x100'0000'01b3ULL;
    sum ^= sum >> 32U;
  }
  return sum;
}

constexpr std::uint32_t snapshot_version = 1;
constexpr std::uint64_t magic = 0x3150'414e'5352'4c4fULL; // "OLRSNAP1"

error damaged(std::string_view what) {
  return fail(errc::malformed, "the snapshot is damaged ({}); it is made anew from the log", what);
}

} // namespace

std::optional<std::uint64_t> state::index_of(const digest& id) const noexcept {
  const auto found = ids_.find(id);
  return found ? std::optional{found->index} : std::nullopt;
}

result<applied> state::apply(const entry& e, std::span<const std::byte> bytes, std::uint64_t index,
                             std::vector<posting>& effects) {
  return apply(e, bytes, index, effects, id_of(e.what));
}

result<applied> state::apply(const entry& e, std::span<const std::byte> bytes, std::uint64_t index,
                             std::vector<posting>& effects, const digest& id) {
  OVIR_CHECK(index == entries_, index, entries_);
  OVIR_TRY(check_form(e.what));
  const std::uint64_t content = content_of(e, bytes);
  if (const auto known = ids_.find(id)) {
    if (known->content != content) {
      return fail(errc::invalid_argument,
                  "entry {} is another {} under the same id; use a new nonce", known->index,
                  to_string(kind_of(e.what)));
    }
    return applied{apply_outcome::duplicate, known->index};
  }
  if (std::holds_alternative<genesis>(e.what) != (index == 0)) {
    return fail(errc::invalid_argument, "a ledger begins with its rules, and has them only there");
  }
  if (e.time < time_ || e.time > limits::ledger_seconds_max) {
    return fail(errc::invalid_argument, "the time is {}, after an entry of {}; times never go back",
                e.time, time_);
  }
  if (index >= limits::ledger_entries_max) {
    return fail(errc::over_limit, "a log has at most {} entries; begin a new ledger",
                limits::ledger_entries_max);
  }
  const std::uint64_t before = std::exchange(books_.now, e.time);
  if (auto done = step(e, effects); !done) {
    books_.now = before;
    return done.error();
  }
  books_.count_entry(e.what);
  ids_.append({id, content});
  time_ = e.time;
  ++entries_;
  return applied{apply_outcome::applied, index};
}

result<void> state::step(const entry& e, std::vector<posting>& effects) {
  books_.effects = &effects;
  books_.about = {};
  books_.about_window = 0;
  OVIR_TRY(admit_action(e));
  OVIR_TRY(std::visit([&](const auto& x) { return run(books_, x); }, e.what));
  if (const auto nonce = nonce_of(e.what)) {
    count_action(e, *signer_of(e.what), *nonce);
  }
  if (books_.tracking) {
    books_.note_touched(e);
  }
  return {};
}

/// Order and frequency of what accounts sign under nonces. Changes nothing.
result<void> state::admit_action(const entry& e) {
  const auto nonce = nonce_of(e.what);
  const node_id* const signer = signer_of(e.what);
  const account* const a = nonce ? books_.find(*signer) : nullptr;
  if (a == nullptr) {
    return {};
  }
  if (*nonce <= a->nonce) {
    return fail(errc::invalid_argument,
                "the nonce {} of {} is not above {}, the last it used; sign it "
                "again under a higher one",
                *nonce, short_name(*signer), a->nonce);
  }
  if (a->minute == e.time / seconds_per_minute &&
      a->actions >= books_.origin.rules.actions_per_minute_max) {
    return fail(errc::busy, "{} asked {} times this minute, as often as it may; try again later",
                short_name(*signer), a->actions);
  }
  return {};
}

void state::count_action(const entry& e, const node_id& signer, std::uint64_t nonce) {
  account& a = books_.at(signer);
  a.nonce = nonce;
  const std::uint64_t minute = e.time / seconds_per_minute;
  a.actions = a.minute == minute ? a.actions + 1 : 1;
  a.minute = minute;
}

std::vector<std::byte> state::snapshot() const {
  std::vector<std::byte> out;
  byte_writer w{out};
  w.number(magic);
  w.number(snapshot_version);
  w.number(entries_);
  w.number(time_);
  if (entries_ > 0) {
    std::vector<std::byte> rules;
    encode({0, books_.origin, {}}, rules);
    w.number(static_cast<std::uint32_t>(rules.size()));
    w.bytes(rules.data(), rules.size());
  } else {
    w.number(std::uint32_t{0});
  }
  for (const micro_credits n :
       {books_.sums.minted, books_.sums.assurance, books_.sums.treasury, books_.sums.burnt}) {
    w.number(n);
  }
  w.number(static_cast<std::uint64_t>(books_.accounts.size()));
  for (const auto& [node, a] : accounts()) {
    w.write(node);
    write_account(w, *a);
  }
  w.number(static_cast<std::uint64_t>(books_.requests.size()));
  for (const auto& [id, q] : books_.requests) {
    w.write(id);
    write_request(w, q);
  }
  w.number(static_cast<std::uint64_t>(books_.vouchers.all().size()));
  for (const auto& [id, v] : books_.vouchers.all()) {
    w.write(id);
    write_voucher(w, v);
  }
  write_epochs(w, books_.epochs);
  std::vector<std::pair<digest, std::uint64_t>> ids;
  ids.reserve(ids_.size());
  for (std::uint64_t index = 0; index < ids_.size(); ++index) {
    ids.emplace_back(ids_.at(index).id, index);
  }
  std::sort(ids.begin(), ids.end());
  w.number(static_cast<std::uint64_t>(ids.size()));
  for (const auto& [id, index] : ids) {
    w.write(id);
    w.number(index);
    w.number(ids_.at(index).content);
  }
  w.write(hash("ovir/ledger/v1/snapshot", out));
  return out;
}

result<void> state::read_rules(byte_reader& r) {
  entries_ = r.number<std::uint64_t>();
  time_ = r.number<std::uint64_t>();
  const auto size = r.number<std::uint32_t>();
  if (size > r.rest().size() || (size == 0) != (entries_ == 0)) {
    return damaged("its rules");
  }
  if (size > 0) {
    OVIR_ASSIGN(entry rules, decode_entry(r.rest().first(size)));
    if (!std::holds_alternative<genesis>(rules.what)) {
      return damaged("its rules");
    }
    books_.origin = std::get<genesis>(std::move(rules.what));
    r.skip(size);
  }
  for (micro_credits* n :
       {&books_.sums.minted, &books_.sums.assurance, &books_.sums.treasury, &books_.sums.burnt}) {
    *n = r.number<micro_credits>();
  }
  return {};
}

/// One id for each entry.
result<void> state::read_ids(byte_reader& r) {
  constexpr std::size_t id_bytes = digest::size + 16;
  const auto count = r.number<std::uint64_t>();
  if (count != entries_ || count > r.rest().size() / id_bytes) {
    return damaged("its ids");
  }
  std::vector<id_table::record> by_entry(static_cast<std::size_t>(count));
  std::vector<bool> given(by_entry.size());
  for (std::uint64_t i = 0; i < count; ++i) {
    id_table::record x;
    r.read(x.id);
    const auto index = r.number<std::uint64_t>();
    x.content = r.number<std::uint64_t>();
    if (index >= count || given[index]) {
      return damaged("its ids");
    }
    given[index] = true;
    by_entry[index] = x;
  }
  for (const id_table::record& x : by_entry) {
    if (ids_.find(x.id)) {
      return damaged("its ids");
    }
    ids_.append(x);
  }
  return {};
}

result<void> state::read_records(byte_reader& r) {
  for (auto left = r.number<std::uint64_t>(); left > 0 && r.sound(); --left) {
    node_id node;
    r.read(node);
    account a = read_account(r);
    for (const unlocking& u : a.unlockings) {
      books_.unlockings.emplace(u.due, node, u.nonce);
    }
    if (!a.chains.empty()) {
      books_.committed.insert(node);
    }
    if (a.pending_windows > 0) {
      books_.earning.insert(node);
    }
    books_.at(node) = std::move(a);
  }
  for (auto left = r.number<std::uint64_t>(); left > 0 && r.sound(); --left) {
    escrow_id id;
    r.read(id);
    request_record& q = books_.requests[id];
    if (!read_request(r, q)) {
      return damaged("a request");
    }
    books_.note_due(id, q);
  }
  for (auto left = r.number<std::uint64_t>(); left > 0 && r.sound(); --left) {
    digest id;
    voucher_record v;
    r.read(id);
    if (!read_voucher(r, v)) {
      return damaged("a voucher");
    }
    books_.vouchers.put(id, std::move(v));
  }
  if (!read_epochs(r, books_.epochs)) {
    return damaged("its epochs");
  }
  OVIR_TRY(read_ids(r));
  return r.finished() ? result<void>{} : damaged("its length");
}

result<state> state::restore(std::span<const std::byte> bytes, std::uint64_t seed) {
  if (bytes.size() < digest::size) {
    return damaged("it is too short");
  }
  const auto body = bytes.first(bytes.size() - digest::size);
  digest stated;
  byte_reader tail{bytes.subspan(body.size())};
  tail.read(stated);
  if (stated != hash("ovir/ledger/v1/snapshot", body)) {
    return damaged("its check fails");
  }
  byte_reader r{body};
  if (r.number<std::uint64_t>() != magic || r.number<std::uint32_t>() != snapshot_version) {
    return damaged("it is of another version");
  }
  state s{seed};
  OVIR_TRY(s.read_rules(r));
  OVIR_TRY(s.read_records(r));
  return s;
}

} // namespace ovir::ledger
