#include "ledger/keeper/verify.hpp"

#include "ledger/rules/invariants.hpp"

#include <algorithm>
#include <string_view>

namespace ovir::ledger {

namespace {

/// Heads and promises must be signed, by most of this log's keepers, before they count against it.
result<void> check_given(const verify_options& options, std::span<const node_id> keepers) {
  const auto is_theirs = [keepers](const signed_head& h) { return signed_by_majority(h, keepers); };
  if (!std::all_of(options.heads.begin(), options.heads.end(), is_theirs)) {
    return fail(errc::invalid_argument,
                "a head given is not signed by more than half of this log's keepers, {}",
                names_of(keepers));
  }
  for (const acknowledgement& a : options.promises) {
    if (!is_theirs(a.head) || !proves(a.entry, a.head.head)) {
      return fail(errc::invalid_argument,
                  "an acknowledgement given is not signed by more than half of this log's keepers, "
                  "{}",
                  names_of(keepers));
    }
  }
  return {};
}

/// Reads entry by entry; remembers roots at the sizes that heads speak of.
class log_walk {
public:
  explicit log_walk(const verify_options& options) : options_(options), state_(options.seed) {}

  result<void> entry_read(std::uint64_t index, std::span<const std::byte> bytes) {
    current_ = index;
    if (index == 0) {
      ledger_ = leaf_hash(bytes);
    }
    OVIR_ASSIGN(const entry e, decode_entry(bytes));
    if (options_.signatures) {
      OVIR_TRY(check_signatures(ledger_, e.what, e.proof));
    }
    if (const convict* const x = std::get_if<convict>(&e.what); x != nullptr) {
      ++report.convictions;
      stake_before_ = stake_of(x->guilty);
      if (options_.evidence) {
        OVIR_TRY(options_.evidence(*x));
        ++report.evidence_replayed;
      }
    }
    effects_.clear();
    OVIR_ASSIGN(const applied done, state_.apply(e, bytes, index, effects_));
    if (index == 0) {
      report.keepers = state_.origin().keepers;
      given = check_given(options_, report.keepers);
      OVIR_TRY(given);
    }
    if (done.how != apply_outcome::applied) {
      return fail(errc::malformed, "invariant 4 is broken: it is entry {} again", done.index);
    }
    OVIR_TRY(check_slashed(e));
    const digest leaf = leaf_hash(bytes);
    tree_.append(leaf);
    chain_ = chain_after(chain_, leaf);
    OVIR_TRY(check_heads());
    OVIR_TRY(check_promises(index, leaf));
    if (options_.visit) {
      options_.visit(index, e, effects_);
    }
    if (options_.watch) {
      options_.watch(index, e, chain_, state_);
    }
    return {};
  }

  [[nodiscard]] log_head head() const {
    return {ledger_, tree_.size(), tree_.root(), chain_, state_.last_time()};
  }
  [[nodiscard]] const state& view() const { return state_; }
  [[nodiscard]] std::uint64_t current() const { return current_; }

  verify_report report;
  result<void> given; ///< whether the heads and promises are this log's keepers'

private:
  [[nodiscard]] micro_credits stake_of(const node_id& node) const {
    const account* const a = state_.find(node);
    return a == nullptr ? 0 : a->stake;
  }

  /// Invariant 7: only a conviction takes stake, and no more than there was.
  [[nodiscard]] result<void> check_slashed(const entry& e) const {
    wide lost = 0;
    for (const posting& p : effects_) {
      lost += p.from.kind == purse::stake && p.kind != posting_kind::unlock ? p.amount : 0;
    }
    const bool convicted = std::holds_alternative<convict>(e.what);
    if (lost > (convicted ? stake_before_ : 0)) {
      return fail(errc::internal, "invariant 7 is broken: more stake was lost than there was");
    }
    return {};
  }

  /// A head that was signed for this size must be what the log is at this size.
  [[nodiscard]] result<void> check_heads() const {
    for (const signed_head& h : options_.heads) {
      if (h.head.size == tree_.size() &&
          (h.head.ledger != ledger_ || h.head.root != tree_.root() || h.head.chain != chain_)) {
        return fail(errc::digest_mismatch,
                    "the log was rewritten at or before this entry: a head of {} entries signed by "
                    "{} says otherwise",
                    h.head.size, names_of(signers_of(h)));
      }
    }
    return {};
  }

  [[nodiscard]] result<void> check_promises(std::uint64_t index, const digest& leaf) const {
    for (const acknowledgement& a : options_.promises) {
      if (a.entry.index == index && a.entry.leaf != leaf) {
        return fail(errc::digest_mismatch, "another entry was promised for this index by {}",
                    names_of(signers_of(a.head)));
      }
    }
    return {};
  }

  const verify_options& options_;
  state state_;
  merkle_frontier tree_;
  digest chain_;
  digest ledger_;
  std::uint64_t current_{0};
  micro_credits stake_before_{0};
  std::vector<posting> effects_;
};

std::optional<log_fault> fault_at_the_end(const verify_options& options, const log_walk& walk) {
  std::uint64_t least = 0;
  for (const signed_head& h : options.heads) {
    least = std::max(least, h.head.size);
  }
  for (const acknowledgement& a : options.promises) {
    least = std::max(least, a.head.head.size);
  }
  const std::uint64_t size = walk.head().size;
  if (size < least) {
    return log_fault{size, fmt::format("the log ends with {} entries, but a signed head says that "
                                       "it had {}",
                                       size, least)};
  }
  if (size == 0) {
    return log_fault{std::nullopt, "the log has no entry"};
  }
  if (const auto right = check_invariants(walk.view()); !right) {
    return log_fault{size - 1, right.error().message};
  }
  // Invariant 9 in small: what the state says of itself, read again, says the same.
  const std::vector<std::byte> image = walk.view().snapshot();
  const auto again = state::restore(image, 0);
  if (!again || again->snapshot() != image) {
    return log_fault{size - 1, "invariant 9 is broken: a snapshot does not restore the state"};
  }
  return std::nullopt;
}

} // namespace

result<verify_report> verify_log(durable_file& file, const verify_options& options) {
  log_walk walk{options};
  bool in_entry = false;
  const auto log = entry_log::read(
      file,
      [&](std::uint64_t index, std::span<const std::byte> bytes) {
        in_entry = true;
        const auto done = walk.entry_read(index, bytes);
        in_entry = !done.has_value();
        return done;
      },
      walk.report.tail);
  verify_report report = std::move(walk.report);
  report.head = walk.head();
  OVIR_TRY(walk.given);
  if (!log) {
    if (log.error().code == errc::io_failed) {
      return log.error();
    }
    const std::uint64_t behind = report.tail.damaged_entry.value_or(walk.head().size);
    report.fault = log_fault{in_entry ? walk.current() : behind, log.error().message};
    return report;
  }
  report.fault = fault_at_the_end(options, walk);
  return report;
}

} // namespace ovir::ledger
