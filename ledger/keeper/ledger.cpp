#include "ledger/keeper/ledger.hpp"

#include "messages/limits/ledger.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <utility>

namespace ovir::ledger {

namespace {

constexpr std::size_t times_in_memory = 64; ///< batches; their promises are made at once
constexpr std::size_t ids_ahead = 64;       ///< commands whose ids are looked up together

/// Applies an entry of a log that was written before: what was applied then must be again.
result<entry> replay(state& s, std::uint64_t index, std::span<const std::byte> bytes,
                     std::vector<posting>& effects) {
  effects.clear();
  const auto where = [&] { return fmt::format("entry {} of the log", index); };
  auto e = decode_entry(bytes);
  if (!e) {
    return in_context(where(), e.error());
  }
  const auto done = s.apply(*e, bytes, index, effects);
  if (!done) {
    return in_context(where(), done.error());
  }
  if (done->how != apply_outcome::applied) {
    return fail(errc::malformed, "{}: is entry {} again; an id is applied once", where(),
                done->index);
  }
  return e;
}

} // namespace

result<ledger> ledger::create(durable_file& file, const genesis& rules, std::uint64_t now,
                              const ledger_options& options) {
  OVIR_TRY(check(rules.rules));
  const entry first{now, rules, {}};
  std::vector<std::byte> bytes;
  encode(first, bytes);
  state s{options.seed};
  std::vector<posting> effects;
  OVIR_TRY(s.apply(first, bytes, 0, effects));
  OVIR_ASSIGN(entry_log log, entry_log::create(file, options.log));
  log.stage(bytes);
  OVIR_TRY(log.flush());
  ledger made{std::move(log), std::move(s)};
  made.id_ = leaf_hash(bytes);
  made.watch_ = options.watch;
  if (made.watch_) {
    made.watch_(0, first, made.log_.chain(), made.state_);
  }
  return made;
}

result<ledger> ledger::open(durable_file& file, const ledger_options& options, log_report& report) {
  open_report all;
  auto opened = open(file, options, all);
  report = all.log;
  return opened;
}

result<ledger> ledger::open(durable_file& file, const ledger_options& options,
                            open_report& report) {
  std::optional<log_index> index;
  std::optional<log_index::loaded> from;
  if (options.index != nullptr) {
    index.emplace(*options.index);
    if (auto loaded = index->load(options.seed)) {
      from = std::move(*loaded);
    } else {
      report.index_trouble = loaded.error().message;
    }
  }
  if (from) {
    auto opened = open_with(file, options, report, index, std::move(from));
    if (opened || opened.error().code != errc::not_found) {
      return opened;
    }
    report = {};
    report.index_trouble = opened.error().message;
    index.emplace(*options.index);
  }
  return open_with(file, options, report, index, std::nullopt);
}

/// `from`: what the index says. Without it, everything is read, and the index is made anew.
result<ledger> ledger::open_with(durable_file& file, const ledger_options& options,
                                 open_report& report, std::optional<log_index>& index,
                                 std::optional<log_index::loaded> from) {
  const auto give_up_index = [&](const error& why) {
    report.index_trouble = why.message;
    index.reset();
  };
  state s = from ? std::move(from->at) : state{options.seed};
  digest id = from ? from->ledger : digest{};
  if (index && !from) {
    report.index_rebuilt = true;
    if (const auto done = index->clear(); !done) {
      give_up_index(done.error());
    }
  }
  if (index) {
    s.track();
  }
  std::vector<posting> effects;
  digest chain = from ? from->log.chain : digest{};
  report.entries_read = 0;
  const entry_visitor visit = [&](std::uint64_t number,
                                  std::span<const std::byte> bytes) -> result<void> {
    if (number == 0) {
      id = leaf_hash(bytes);
    }
    OVIR_ASSIGN(const entry e, replay(s, number, bytes, effects));
    ++report.entries_read;
    if (options.watch) {
      chain = chain_after(chain, leaf_hash(bytes));
      options.watch(number, e, chain, s);
    }
    if (index) {
      index->note(number, s.last_time(), effects);
      if (index->waiting() >= limits::ledger_index_lines_max) {
        if (const auto done = index->spill(); !done) {
          give_up_index(done.error());
        }
      }
    }
    return {};
  };
  log_options how = options.log;
  how.needs_entries = true;
  OVIR_ASSIGN(entry_log log, entry_log::open(file, how, visit, report.log, options.entries_least,
                                             from ? &from->log : nullptr));
  if (log.size() == 0) {
    return fail(errc::malformed,
                "the log has no entry: making the ledger was interrupted; remove it and make it "
                "anew");
  }
  ledger opened{std::move(log), std::move(s)};
  opened.id_ = id;
  opened.index_ = std::move(index);
  opened.watch_ = options.watch;
  if (report.index_rebuilt || report.entries_read > limits::ledger_index_behind_max) {
    opened.absorb();
  }
  return opened;
}

void ledger::absorb() {
  // Without it the ledger is as good; who opens it next reads more.
  if (index_ && !failed_ && !index_->absorb(state_, log_, id_)) {
    index_.reset();
  }
}

result<std::vector<statement_line>> ledger::statement(const node_id& account) const {
  if (!index_) {
    return fail(errc::not_found, "the ledger has no index now; opening it anew makes one");
  }
  return index_->statement(account);
}

result<statement_page> ledger::statement(const node_id& account, const statement_place& from,
                                         std::size_t lines_max) {
  if (!index_) {
    return fail(errc::busy, "the ledger's index is being made anew; ask again in a while");
  }
  auto page = index_->statement(account, from, lines_max);
  if (!page) {
    index_.reset();
  }
  return page;
}

error ledger::failed_before() const {
  return fail(errc::io_failed, "the ledger failed before; open it anew to see what lasts");
}

result<batch_outcome> ledger::commit(std::span<const authentic_command> batch, std::uint64_t now) {
  if (failed_) {
    return failed_before();
  }
  if (batch.size() > limits::ledger_batch_entries_max) {
    return fail(errc::over_limit, "a batch of {} commands; at most {} are taken at once",
                batch.size(), limits::ledger_batch_entries_max);
  }
  batch_outcome out;
  out.commands.reserve(batch.size());
  out.effects.reserve(batch.size()); // most commands move one amount
  std::array<digest, ids_ahead> ids;
  for (std::size_t n = 0; n < batch.size(); ++n) {
    if (n % ids_ahead == 0) { // all misses of the cache at once
      for (std::size_t i = n; i < std::min(n + ids_ahead, batch.size()); ++i) {
        ids[i - n] = id_of(batch[i].what());
        state_.expect(ids[i - n]);
      }
    }
    const authentic_command& c = batch[n];
    command_outcome one;
    scratch_.clear();
    // The copy is of a few words for what is frequent, and of a list for what is not.
    const entry e{std::max(now, state_.last_time()), c.what(), c.proof()};
    encode(e, scratch_);
    if (!log_.room_for(scratch_.size())) {
      one.why = fail(errc::busy, "the batch has no room for more bytes; send it in the next one");
    } else if (const auto done =
                   state_.apply(e, scratch_, state_.entries(), out.effects, ids[n % ids_ahead])) {
      one.done = *done;
      if (done->how == apply_outcome::applied) {
        log_.stage(scratch_);
        if (watch_) {
          watch_(done->index, e, log_.staged_chain(), state_);
        }
      }
    } else {
      one.why = done.error();
    }
    one.effects_end = out.effects.size();
    out.commands.push_back(std::move(one));
  }
  failed_ = true; // until it is known to last
  const std::uint64_t first = log_.size();
  OVIR_TRY(log_.flush());
  failed_ = false;
  if (log_.size() > first) {
    times_.push_back({first, state_.last_time()});
    if (times_.size() > times_in_memory) {
      times_.pop_front();
    }
  }
  if (index_) {
    std::size_t begin = 0;
    for (const command_outcome& c : out.commands) {
      if (c.done && c.done->how == apply_outcome::applied) {
        index_->note(c.done->index, state_.last_time(),
                     std::span{out.effects}.subspan(begin, c.effects_end - begin));
      }
      begin = c.effects_end;
    }
    if (index_->waiting() >= limits::ledger_index_lines_max) {
      absorb();
    }
  }
  return out;
}

result<void> ledger::follow(std::span<const std::vector<std::byte>> entries,
                            const signed_head& head, const evidence_check& evidence,
                            std::span<const digest> path) {
  if (failed_) {
    return failed_before();
  }
  if (head.head.ledger != id_ || !signed_by_majority(head, state_.origin().keepers)) {
    return fail(errc::invalid_argument,
                "the head is not one that most of this ledger's keepers signed");
  }
  merkle_frontier tree = log_.frontier();
  digest chain = log_.chain();
  for (const std::vector<std::byte>& bytes : entries) {
    const digest leaf = leaf_hash(bytes);
    tree.append(leaf);
    chain = chain_after(chain, leaf);
  }
  const bool leads_there =
      tree.size() == head.head.size
          ? tree.root() == head.head.root && chain == head.head.chain
          : verify_consistency(tree.size(), tree.root(), head.head.size, head.head.root, path);
  if (!leads_there) {
    return fail(errc::digest_mismatch,
                "{} entries behind {} do not lead to the head of {}: its log is not this one; keep "
                "both heads as evidence",
                entries.size(), log_.size(), head.head.size);
  }
  failed_ = true;
  times_.clear();
  std::vector<posting> effects;
  for (const std::vector<std::byte>& bytes : entries) {
    const std::uint64_t index = state_.entries();
    OVIR_ASSIGN(const entry e, decode_entry(bytes));
    OVIR_TRY(check_signatures(id_, e.what, e.proof));
    if (const convict* const x = std::get_if<convict>(&e.what); x != nullptr && evidence) {
      OVIR_TRY(evidence(*x));
    }
    OVIR_TRY(replay(state_, index, bytes, effects));
    if (index_) {
      index_->note(index, state_.last_time(), effects);
    }
    if (!log_.room_for(bytes.size())) {
      OVIR_TRY(log_.flush());
    }
    log_.stage(bytes);
    if (watch_) {
      watch_(index, e, log_.staged_chain(), state_);
    }
  }
  OVIR_TRY(log_.flush());
  failed_ = false;
  if (index_ && index_->waiting() >= limits::ledger_index_lines_max) {
    absorb();
  }
  return {};
}

log_head ledger::head() const {
  return {id_, log_.size(), log_.root(), log_.chain(), state_.last_time()};
}

bool ledger::extends(const log_head& head) const {
  const auto proof = prove_consistency(head.size, log_.size());
  return head.ledger == id_ && proof &&
         verify_consistency(head.size, head.root, log_.size(), log_.root(), *proof);
}

result<inclusion> ledger::prove(std::uint64_t index, std::uint64_t size) const {
  if (index >= size || size > log_.size()) {
    return fail(errc::not_found, "there is no entry {} among the first {}; the log has {}", index,
                size, log_.size());
  }
  const range_root range = [this](std::uint64_t first, std::uint64_t count) {
    return log_.root_between(first, count);
  };
  OVIR_ASSIGN(const digest leaf, log_.leaf_at(index));
  OVIR_ASSIGN(std::vector<digest> path, inclusion_proof(index, size, range));
  return inclusion{index, leaf, std::move(path)};
}

result<std::vector<digest>> ledger::prove_consistency(std::uint64_t first,
                                                      std::uint64_t second) const {
  if (first == 0 || first > second || second > log_.size()) {
    return fail(errc::not_found, "there are no first {} and {} entries to compare; the log has {}",
                first, second, log_.size());
  }
  return consistency_proof(first, second, [this](std::uint64_t begin, std::uint64_t count) {
    return log_.root_between(begin, count);
  });
}

result<std::uint64_t> ledger::time_of(std::uint64_t index) const {
  const auto after = std::ranges::upper_bound(times_, index, {}, &batch_time::first);
  if (after != times_.begin() && index < log_.size()) {
    return std::prev(after)->time;
  }
  OVIR_ASSIGN(const std::vector<std::byte> bytes, log_.entry_at(index));
  std::uint64_t time = 0;
  std::memcpy(&time, bytes.data(), sizeof(time));
  return time;
}

result<acknowledgement> ledger::acknowledge(std::uint64_t index, const signed_head& head) const {
  OVIR_ASSIGN(inclusion in, prove(index, head.head.size));
  return acknowledgement{std::move(in), head};
}

} // namespace ovir::ledger
