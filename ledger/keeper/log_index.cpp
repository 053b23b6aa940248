#include "ledger/keeper/log_index.hpp"

#include "ledger/keeper/index_records.hpp"
#include "ledger/log/log_format.hpp"
#include "ledger/rules/invariants.hpp"
#include "ledger/rules/state_bytes.hpp"

#include <algorithm>
#include <utility>

namespace ovir::ledger {

namespace {

error unusable(std::string_view what) {
  return fail(errc::malformed, "the ledger's index is of no use ({}); it is made anew from the log",
              what);
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

} // namespace

/// Puts a state together from records that come in the order of their keys. What does not fit is
/// remembered, and asked for once.
class state_loader {
public:
  explicit state_loader(std::uint64_t seed) : made_(seed) {}

  void take(std::string_view key, std::string_view record) {
    if (key.empty() || !wrong_.empty()) {
      return;
    }
    switch (static_cast<index_table>(key.front())) {
    case index_table::summary: return take_summary(record);
    case index_table::rules: return take_rules(record);
    case index_table::account: return take_account(key, record);
    case index_table::request: return take_slice(key, record);
    case index_table::ids: return take_ids(record);
    case index_table::root: return take_root(key, record);
    case index_table::place: return take_place(key, record);
    case index_table::history: return;
    case index_table::epoch: return take_epochs(key, record);
    case index_table::voucher: return take_voucher(key, record);
    }
    wrong_ = "a record of no table";
  }

  [[nodiscard]] bool anything() const noexcept { return anything_; }
  [[nodiscard]] const std::map<escrow_id, std::uint32_t>& slices() const noexcept {
    return slices_;
  }
  [[nodiscard]] std::size_t epoch_slices() const noexcept { return epoch_slices_; }

  [[nodiscard]] result<log_index::loaded> finish() {
    finish_request();
    if (!summary_) {
      wrong_ = "its summary is missing";
    }
    if (!wrong_.empty()) {
      return unusable(wrong_);
    }
    made_.entries_ = summary_->size;
    made_.time_ = summary_->time;
    made_.books_.sums = summary_->sums;
    finish_epochs();
    auto block = merkle_frontier::from_peaks(summary_->size % block_leaves, summary_->peaks);
    if (!block || !rules_ || !wrong_.empty() || made_.ids_.size() != summary_->size ||
        made_.entries_ == 0 || made_.books_.accounts.size() != summary_->accounts ||
        made_.books_.requests.size() != summary_->requests ||
        made_.books_.vouchers.all().size() != summary_->vouchers) {
      return unusable("records are missing, or there are too many");
    }
    for (const auto& [id, q] : made_.books_.requests) {
      made_.books_.note_due(id, q); // by the rules, which came after some requests
    }
    OVIR_TRY(check_invariants(made_));
    log_checkpoint at{summary_->size,    summary_->end,     summary_->last_batch, summary_->chain,
                      std::move(*block), std::move(roots_), std::move(places_)};
    return log_index::loaded{std::move(made_), std::move(at), summary_->ledger};
  }

private:
  static byte_reader reader_of(std::string_view record) {
    return byte_reader{std::as_bytes(std::span{record})};
  }
  void take_summary(std::string_view record) {
    anything_ = true;
    summary_ = index_summary_from(record);
  }
  void take_rules(std::string_view record) {
    anything_ = true;
    auto rules = decode_entry(std::as_bytes(std::span{record}));
    if (!rules || !std::holds_alternative<genesis>(rules->what) || !check_form(rules->what)) {
      wrong_ = "its rules";
      return;
    }
    rules_ = true;
    made_.books_.origin = std::get<genesis>(std::move(rules->what));
  }
  void take_account(std::string_view key, std::string_view record) {
    anything_ = true;
    const auto name = name_in(key);
    auto a = index_account_from(record);
    if (!name || !a) {
      wrong_ = "an account";
      return;
    }
    const node_id node{name->bytes};
    for (const unlocking& u : a->what.unlockings) {
      made_.books_.unlockings.emplace(u.due, node, u.nonce);
    }
    if (!a->what.chains.empty()) {
      made_.books_.committed.insert(node);
    }
    if (a->what.pending_windows > 0) {
      made_.books_.earning.insert(node);
    }
    made_.books_.accounts[node.key] = std::move(a->what);
  }
  void take_voucher(std::string_view key, std::string_view record) {
    anything_ = true;
    const auto name = name_in(key);
    auto v = index_voucher_from(record);
    if (!name || !v) {
      wrong_ = "a voucher";
      return;
    }
    made_.books_.vouchers.put(*name, std::move(*v));
  }
  void take_slice(std::string_view key, std::string_view record) {
    anything_ = true;
    const auto name = name_in(key);
    const auto slice = number_in(key);
    if (!name || !slice) {
      wrong_ = "a request";
      return;
    }
    if (*name != request_) {
      finish_request();
      request_ = *name;
    }
    std::uint32_t& seen = slices_[*name];
    if (*slice != seen++) {
      wrong_ = "a piece of a request is missing";
    }
    request_bytes_ += record;
  }
  void finish_request() {
    if (request_bytes_.empty() || !wrong_.empty()) {
      return;
    }
    byte_reader r = reader_of(request_bytes_);
    if (!read_request(r, made_.books_.requests[request_]) || !r.finished()) {
      wrong_ = "a request";
    }
    request_bytes_.clear();
  }
  void take_epochs(std::string_view key, std::string_view record) {
    if (number_in(key) != epoch_slices_++) {
      wrong_ = "a piece of its epochs is missing";
    }
    epoch_bytes_ += record;
  }
  void finish_epochs() {
    byte_reader r = reader_of(epoch_bytes_);
    if (!read_epochs(r, made_.books_.epochs) || !r.finished()) {
      wrong_ = "its epochs";
    }
  }
  void take_ids(std::string_view record) {
    anything_ = true;
    const auto ids = ids_from(record);
    if (!ids || made_.ids_.size() % ids_per_record != 0) {
      wrong_ = "its ids";
      return;
    }
    for (const id_table::record& x : *ids) {
      if (made_.ids_.find(x.id)) {
        wrong_ = "an id came twice";
        return;
      }
      made_.ids_.append(x);
    }
  }
  void take_root(std::string_view key, std::string_view record) {
    byte_reader r = reader_of(record);
    digest root;
    r.read(root);
    if (!r.finished() || number_in(key) != roots_.size()) {
      wrong_ = "its roots";
    }
    roots_.push_back(root);
  }
  void take_place(std::string_view key, std::string_view record) {
    byte_reader r = reader_of(record);
    const log_place p{number_in(key).value_or(0), r.number<std::uint64_t>()};
    if (!r.finished() || (places_.empty() ? p.first != 0 : p.first <= places_.back().first)) {
      wrong_ = "its places";
    }
    places_.push_back(p);
  }

  state made_;
  std::string wrong_;
  bool anything_{false};
  bool rules_{false};
  std::optional<index_summary> summary_;
  std::vector<digest> roots_;
  std::vector<log_place> places_;
  escrow_id request_;
  std::string request_bytes_;
  std::map<escrow_id, std::uint32_t> slices_;
  std::string epoch_bytes_;
  std::size_t epoch_slices_{0};
};

result<std::optional<log_index::loaded>> log_index::load(std::uint64_t seed) {
  state_loader loader{seed};
  OVIR_TRY(store_->visit(
      [&](std::string_view key, std::string_view record) { loader.take(key, record); }));
  if (!loader.anything()) {
    return std::optional<loaded>{};
  }
  OVIR_ASSIGN(loaded found, loader.finish());
  entries_ = found.log.size;
  slices_ = loader.slices();
  places_ = found.log.places.size();
  epoch_slices_ = loader.epoch_slices();
  return std::optional{std::move(found)};
}

result<void> log_index::clear() {
  waiting_.clear();
  histories_.clear();
  slices_.clear();
  entries_ = 0;
  places_ = 0;
  epoch_slices_ = 0;
  return store_->clear();
}

void log_index::note(std::uint64_t index, std::uint64_t time, std::span<const posting> effects) {
  for (const posting& p : effects) {
    for (const bool out : {true, false}) {
      const account_ref& side = out ? p.from : p.to;
      if (side.kind >= purse::free && side.kind <= purse::stake) {
        waiting_.push_back({node_id{side.of.bytes}, {index, time, p, out}});
      }
    }
  }
}

result<std::uint64_t> log_index::history_of(const node_id& account) const {
  if (const auto spilt = histories_.find(account); spilt != histories_.end()) {
    return spilt->second;
  }
  OVIR_ASSIGN(const auto record, store_->find(index_key(account)));
  if (!record) {
    return std::uint64_t{0};
  }
  const auto known = index_account_from(*record);
  return known ? result<std::uint64_t>{known->history} : unusable("an account");
}

/// What waits, account by account, behind the records that are there.
result<void> log_index::add_history(derived_index::changes& out) {
  std::map<node_id, std::vector<statement_line>> by_account;
  for (const noted& n : waiting_) {
    by_account[n.account].push_back(n.line);
  }
  for (const auto& [account, lines] : by_account) {
    OVIR_ASSIGN(std::uint64_t records, history_of(account));
    std::span<const statement_line> rest = lines;
    while (!rest.empty()) {
      out.insert_or_assign(index_key(account, records++), history_record(rest));
    }
    histories_[account] = records;
  }
  return {};
}

result<void> log_index::spill() {
  derived_index::changes out;
  OVIR_TRY(add_history(out));
  OVIR_TRY(store_->commit(out));
  waiting_.clear();
  return {};
}

result<void> log_index::absorb(state& s, const entry_log& log, const digest& ledger) {
  const log_checkpoint at = log.checkpoint();
  OVIR_CHECK(at.size == s.entries() && at.size >= entries_, at.size, entries_);
  const touched changed = s.take_touched();
  derived_index::changes out;
  OVIR_TRY(add_history(out));
  // Whoever has a line changed, and so is among them.
  for (const node_id& node : changed.accounts) {
    if (const account* const a = s.find(node); a != nullptr) {
      OVIR_ASSIGN(const std::uint64_t records, history_of(node));
      out.insert_or_assign(index_key(node), to_record(index_account{records, *a}));
    }
  }
  for (const escrow_id& id : changed.requests) {
    add_request(out, id, s.find_request(id));
  }
  for (const digest& id : changed.vouchers) {
    const voucher_record* const v = s.vouchers().find(id);
    out.insert_or_assign(voucher_key(id),
                         v == nullptr ? std::nullopt : std::optional{to_record(*v)});
  }
  add_epochs(out, s.epochs());
  add_log(out, s, at);
  std::vector<std::byte> rules;
  encode({0, s.origin(), {}}, rules);
  out.insert_or_assign(index_key(index_table::rules), text_of(rules));
  out.insert_or_assign(
      index_key(index_table::summary),
      to_record(index_summary{ledger, s.last_time(), s.sums(), at.size, at.end, at.last_batch,
                              at.chain, at.block.peaks(), s.accounts().size(), s.requests().size(),
                              s.vouchers().all().size()}));
  OVIR_TRY(store_->commit(out));
  waiting_.clear();
  histories_.clear();
  entries_ = at.size;
  places_ = at.places.size();
  return {};
}

void log_index::add_request(derived_index::changes& out, const escrow_id& id,
                            const request_record* q) {
  std::vector<std::byte> bytes;
  byte_writer w{bytes};
  if (q != nullptr) { // else it is forgotten
    write_request(w, *q);
  }
  const std::string text = text_of(bytes);
  std::uint32_t slice = 0;
  for (; slice * slice_bytes < text.size(); ++slice) {
    out.insert_or_assign(index_key(id, slice), text.substr(slice * slice_bytes, slice_bytes));
  }
  for (std::uint32_t old = slice; old < slices_[id]; ++old) {
    out.insert_or_assign(index_key(id, old), std::nullopt);
  }
  slices_[id] = slice;
  if (slice == 0) {
    slices_.erase(id);
  }
}

void log_index::add_epochs(derived_index::changes& out, const epoch_state& e) {
  std::vector<std::byte> bytes;
  byte_writer w{bytes};
  write_epochs(w, e);
  const std::string text = text_of(bytes);
  std::size_t slice = 0;
  for (; slice * slice_bytes < text.size(); ++slice) {
    out.insert_or_assign(index_key(index_table::epoch, slice),
                         text.substr(slice * slice_bytes, slice_bytes));
  }
  for (std::size_t old = slice; old < epoch_slices_; ++old) {
    out.insert_or_assign(index_key(index_table::epoch, old), std::nullopt);
  }
  epoch_slices_ = slice;
}

/// What is new in the log since the last time: ids, roots, places.
void log_index::add_log(derived_index::changes& out, const state& s,
                        const log_checkpoint& at) const {
  for (std::uint64_t piece = entries_ / ids_per_record; piece * ids_per_record < at.size; ++piece) {
    std::vector<id_table::record> ids;
    for (std::uint64_t i = piece * ids_per_record;
         i < std::min<std::uint64_t>(at.size, (piece + 1) * ids_per_record); ++i) {
      ids.push_back(s.id_records().at(i));
    }
    out.insert_or_assign(index_key(index_table::ids, piece), to_record(ids));
  }
  for (std::uint64_t b = entries_ / block_leaves; b < at.block_roots.size(); ++b) {
    const auto root = std::as_bytes(std::span{at.block_roots[b].bytes});
    out.insert_or_assign(index_key(index_table::root, b), text_of({root.begin(), root.end()}));
  }
  for (std::size_t p = places_; p < at.places.size(); ++p) {
    std::vector<std::byte> bytes;
    byte_writer{bytes}.number(at.places[p].offset);
    out.insert_or_assign(index_key(index_table::place, at.places[p].first), text_of(bytes));
  }
}

result<std::vector<statement_line>> log_index::history(const node_id& account,
                                                       std::uint64_t record) const {
  OVIR_ASSIGN(const auto found, store_->find(index_key(account, record)));
  auto lines = found ? history_from(account, *found) : std::nullopt;
  if (!lines || lines->empty()) {
    return unusable("a statement");
  }
  return std::move(*lines);
}

result<std::vector<statement_line>> log_index::statement(const node_id& account) const {
  OVIR_ASSIGN(const std::uint64_t records, history_of(account));
  std::vector<statement_line> all;
  for (std::uint64_t n = 0; n < records; ++n) {
    OVIR_ASSIGN(const auto lines, history(account, n));
    all.insert(all.end(), lines.begin(), lines.end());
  }
  for (const noted& n : waiting_) {
    if (n.account == account) {
      all.push_back(n.line);
    }
  }
  return all;
}

/// The last of the account's records that begins before `entry`, or 0.
result<std::uint64_t> log_index::record_with(const node_id& account, std::uint64_t records,
                                             std::uint64_t entry) const {
  std::uint64_t first = 0;
  for (std::uint64_t end = records; end - first > 1;) {
    const std::uint64_t middle = first + (end - first) / 2;
    OVIR_ASSIGN(const auto lines, history(account, middle));
    (lines.front().index < entry ? first : end) = middle;
  }
  return first;
}

result<statement_page> log_index::statement(const node_id& account, const statement_place& from,
                                            std::size_t lines_max) const {
  OVIR_ASSIGN(const std::uint64_t records, history_of(account));
  std::vector<statement_line> waiting;
  for (const noted& n : waiting_) {
    if (n.account == account) {
      waiting.push_back(n.line);
    }
  }
  statement_page page;
  if (from.newest) {
    std::uint64_t n = records;
    page.lines = std::move(waiting);
    for (; n > 0 && page.lines.size() <= lines_max; --n) {
      OVIR_ASSIGN(const auto lines, history(account, n - 1));
      page.lines.insert(page.lines.begin(), lines.begin(), lines.end());
    }
    page.more = n > 0 || page.lines.size() > lines_max;
    if (page.lines.size() > lines_max) {
      page.lines.erase(page.lines.begin(), page.lines.end() - static_cast<long>(lines_max));
    }
    return page;
  }
  std::size_t skip = from.skip;
  const auto take = [&](const std::vector<statement_line>& lines) {
    for (const statement_line& l : lines) {
      if (l.index < from.entry || (l.index == from.entry && skip > 0)) {
        skip -= l.index == from.entry ? 1 : 0;
      } else if (page.lines.size() == lines_max) {
        page.more = true;
      } else {
        page.lines.push_back(l);
      }
    }
  };
  OVIR_ASSIGN(std::uint64_t n, record_with(account, records, from.entry));
  for (; n < records && !page.more; ++n) {
    OVIR_ASSIGN(const auto lines, history(account, n));
    take(lines);
  }
  take(waiting);
  return page;
}

} // namespace ovir::ledger
