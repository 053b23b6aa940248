#include "actors/payment/log_follower.hpp"

#include "messages/limits/credit.hpp"

#include <utility>
#include <variant>

namespace ovir::actors {

result<log_follower> log_follower::open(durable_file& file, std::span<const std::byte> genesis,
                                        std::uint64_t seed, ledger::entry_watch watch) {
  OVIR_ASSIGN(const ledger::entry first, ledger::decode_entry(genesis));
  const auto* const rules = std::get_if<ledger::genesis>(&first.what);
  if (rules == nullptr) {
    return fail(errc::malformed, "the first entry of a ledger's log is none of rules");
  }
  ledger::ledger_options options;
  options.seed = seed;
  OVIR_ASSIGN(const std::uint64_t bytes, file.size());
  if (bytes == 0) {
    OVIR_TRY(ledger::ledger::create(file, *rules, first.time, options));
  }
  options.watch = std::move(watch); // it is called with each of them while it is opened
  ledger::log_report report;
  OVIR_ASSIGN(ledger::ledger book, ledger::ledger::open(file, options, report));
  if (book.id() != ledger::leaf_hash(genesis)) {
    return fail(errc::digest_mismatch,
                "the copy is of the ledger {} and the keeper has {}; keep it, and name another "
                "folder",
                to_hex(book.id()).substr(0, 8), to_hex(ledger::leaf_hash(genesis)).substr(0, 8));
  }
  return log_follower{std::move(book)};
}

result<void> log_follower::take(const ledger::entry_run& run) {
  for (std::size_t i = 0; i < run.entries.size(); ++i) {
    if (run.first + i != wants()) {
      continue; // told before
    }
    run_bytes_ += run.entries[i].size();
    if (run_bytes_ > limits::credit_catch_up_bytes_max) {
      run_.clear();
      run_bytes_ = 0;
      return fail(errc::over_limit,
                  "the copy lacks more than {} MiB of the log; begin with a copy of the keeper's "
                  "file",
                  limits::credit_catch_up_bytes_max >> 20U);
    }
    run_.push_back(run.entries[i]);
  }
  if (run_.empty() || wants() < run.head.head.size) {
    return {}; // more is to come
  }
  // The head may have been signed before the last of them.
  const auto behind = static_cast<std::size_t>(wants() - run.head.head.size);
  const std::size_t count = run_.size() - std::min(behind, run_.size());
  if (count == 0) {
    return {};
  }
  const auto followed =
      book_.follow(std::span{run_}.first(count), run.head, ledger::evidence_check{});
  run_.clear();
  run_bytes_ = 0;
  if (followed) {
    head_ = run.head;
  }
  return followed;
}

result<void> log_follower::check(const ledger::signed_head& head) const {
  if (head.head.size == 0 || head.head.size > book_.log().size()) {
    return {};
  }
  OVIR_ASSIGN(const digest root, book_.log().root_between(0, head.head.size));
  if (root != head.head.root) {
    return fail(errc::digest_mismatch,
                "{} signed a head of {} entries that is not of the log it served",
                ledger::names_of(ledger::signers_of(head)), head.head.size);
  }
  return {};
}

result<std::optional<ledger::fork_evidence>>
log_follower::broken(const ledger::acknowledgement& promised) const {
  const std::uint64_t index = promised.entry.index;
  if (!head_ || index >= head_->head.size) {
    return std::optional<ledger::fork_evidence>{};
  }
  OVIR_ASSIGN(ledger::inclusion here, book_.prove(index, head_->head.size));
  if (here.leaf == promised.entry.leaf) {
    return std::optional<ledger::fork_evidence>{};
  }
  ledger::fork_evidence fork{promised.head, *head_, promised.entry, std::move(here)};
  OVIR_TRY(ledger::check_fork(fork, book_.id(), book_.view().origin().keepers));
  return std::optional{std::move(fork)};
}

} // namespace ovir::actors
