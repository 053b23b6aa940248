#include "actors/payment/kept_ledger.hpp"

#include "messages/limits/credit.hpp"
#include "messages/limits/keepers.hpp"
#include "storage/store/lmdb_index.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace ovir::actors {

namespace {

std::uint64_t seed_from(storage::env& environment) {
  std::uint64_t seed = 0;
  environment.random(std::as_writable_bytes(std::span{&seed, 1}));
  return seed;
}

result<bool> has_file(storage::env& environment, const std::string& folder,
                      const std::string& name) {
  OVIR_ASSIGN(const auto names, environment.list(folder));
  return std::find(names.begin(), names.end(), name) != names.end();
}

result<void> write_file(storage::env& environment, const std::string& path,
                        std::span<const std::byte> bytes) {
  OVIR_ASSIGN(const auto file, environment.stage(path));
  OVIR_TRY(file->append(bytes));
  return file->commit();
}

std::optional<std::uint64_t> time_in(storage::env& environment, const std::string& path) {
  const auto text = environment.read(path, limits::ledger_clock_file_bytes_max);
  std::uint64_t unix_s = 0;
  if (!text) {
    return std::nullopt;
  }
  const auto [end, wrong] = std::from_chars(text->data(), text->data() + text->size(), unix_s);
  return wrong == std::errc{} && end != text->data() ? std::optional{unix_s} : std::nullopt;
}

result<void> write_time(storage::env& environment, const std::string& path, std::uint64_t unix_s) {
  const std::string text = fmt::format("{}\n", unix_s);
  return write_file(environment, path, std::as_bytes(std::span{text}));
}

} // namespace

std::optional<std::uint64_t> kept_ledger_time(storage::env& environment,
                                              const std::string& folder) {
  return time_in(environment, folder + "/clock");
}

result<void> keep_operators_word(storage::env& environment, const std::string& folder,
                                 std::uint64_t unix_s) {
  return write_time(environment, folder + "/clock-accepted", unix_s);
}

std::optional<std::uint64_t> take_operators_word(storage::env& environment,
                                                 const std::string& folder) {
  const auto said = time_in(environment, folder + "/clock-accepted");
  if (said && !environment.remove(folder + "/clock-accepted")) {
    return std::nullopt; // it would be good for ever
  }
  return said;
}

result<std::unique_ptr<kept_ledger>> kept_ledger::open(kept_ledger_options how) {
  std::unique_ptr<kept_ledger> made{new kept_ledger{std::move(how)}};
  storage::env& env = *made->how_.env;
  OVIR_TRY(env.make_folder(made->how_.folder));
  OVIR_ASSIGN(made->lock_, env.lock(made->how_.folder));
  OVIR_ASSIGN(const bool there, has_file(env, made->how_.folder, "log"));
  if (!there) {
    if (const auto begun = made->begin(); !begun) {
      return in_context(made->how_.folder, begun.error());
    }
  }
  if (const auto opened = made->reopen(); !opened) {
    return in_context(made->how_.folder, opened.error());
  }
  return made;
}

result<void> kept_ledger::begin() {
  if (!how_.rules) {
    return fail(errc::not_found,
                "there is no ledger; set ledger.policy to the rules of a new one, or ledger.folder "
                "to where it is");
  }
  ledger::genesis rules;
  rules.rules = *how_.rules;
  rules.mint_keys = how_.mint_keys;
  if (rules.mint_keys.empty()) {
    rules.mint_keys.push_back(how_.key->id());
  }
  std::sort(rules.mint_keys.begin(), rules.mint_keys.end());
  rules.keepers = {how_.key->id()};
  how_.env->random(std::as_writable_bytes(std::span{rules.salt.bytes}));
  OVIR_TRY(ledger::check(rules.rules)); // before there is a file
  OVIR_ASSIGN(const auto file, how_.env->open_durable(log_path(), storage::durable_use::make));
  ledger::ledger_options options;
  options.seed = seed_from(*how_.env);
  OVIR_TRY(ledger::ledger::create(*file, rules, how_.env->unix_seconds(), options));
  return {};
}

result<std::optional<ledger::signed_head>> kept_ledger::kept_head() const {
  OVIR_ASSIGN(const bool there, has_file(*how_.env, how_.folder, "head"));
  if (!there) {
    return std::optional<ledger::signed_head>{};
  }
  OVIR_ASSIGN(const std::string text,
              how_.env->read(how_.folder + "/head", limits::ledger_head_file_bytes_max));
  const auto head = ledger::signed_head_from(std::as_bytes(std::span{text}));
  if (!head) {
    return in_context("head", head.error());
  }
  return std::optional{*head};
}

/// With the index where it helps; the log's word and the signed head's are what counts.
result<ledger::ledger> kept_ledger::open_book() {
  OVIR_ASSIGN(const auto head, kept_head());
  ledger::ledger_options options;
  options.seed = seed_from(*how_.env);
  options.entries_least = head ? head->head.size : 0;
  index_.reset();
  storage::derived_index_report found;
  if (auto opened = storage::open_lmdb_index(*how_.env, how_.folder, found)) {
    index_ = std::move(*opened);
  } else {
    notes_.push_back(
        fmt::format("the ledger goes on without its index: {}", opened.error().message));
  }
  options.index = index_.get();
  watch_.emplace(how_.key->id());
  options.watch = [this](std::uint64_t index, const ledger::entry& e, const digest& chain,
                         const ledger::state& after) { watch_->take(index, e, chain, after); };
  ledger::open_report report;
  auto book = ledger::ledger::open(*file_, options, report);
  if (book && head && !book->extends(head->head) && index_ && index_->clear()) {
    report = {}; // not by the index's word alone
    report.index_trouble = "it does not lead to the signed head";
    watch_.emplace(how_.key->id());
    book = ledger::ledger::open(*file_, options, report);
  }
  if (!book) {
    return book;
  }
  if (report.log.torn) {
    notes_.push_back(fmt::format("a batch of {} bytes that was never finished was cleared",
                                 report.log.torn_bytes));
  }
  if (found.damaged || !report.index_trouble.empty()) {
    notes_.push_back(fmt::format(
        "the ledger's index was of no use{}{}; it was made anew from {} entries",
        report.index_trouble.empty() ? "" : ": ", report.index_trouble, report.entries_read));
  }
  absorbed_ = 0;
  absorbed_at_ = how_.env->now();
  return book;
}

result<void> kept_ledger::reopen() {
  OVIR_ASSIGN(auto file, how_.env->open_durable(log_path(), storage::durable_use::write));
  const auto before = std::exchange(file_, std::move(file)); // until its keeper is gone
  auto book = open_book();
  if (!book) {
    keeper_.reset();
    return book.error();
  }
  if (keeper_) { // it knows who is to be told
    OVIR_TRY(keeper_->replace(std::move(*book)));
    return keep_head();
  }
  ledger::keeper_surroundings around;
  around.key = how_.key;
  if (book->view().origin().keepers.size() > 1) {
    OVIR_ASSIGN(around.last_head, kept_head());
  }
  around.roles_of = how_.roles_of;
  around.operators = how_.operators;
  if (how_.conviction_of) {
    around.conviction_of = [this](const ledger::convict& x) {
      return how_.conviction_of(x.guilty);
    };
  }
  around.evidence_of = [this](const digest& name) -> result<std::vector<std::byte>> {
    OVIR_ASSIGN(const std::string text, how_.env->read(how_.folder + "/evidence/" + to_hex(name),
                                                       limits::credit_evidence_bytes_max));
    const auto bytes = std::as_bytes(std::span{text});
    return std::vector<std::byte>{bytes.begin(), bytes.end()};
  };
  around.keep_evidence = [this](const digest& name, std::span<const std::byte> bytes) {
    return keep_evidence(name, bytes);
  };
  around.claims_say = [this](const ledger::command& what) {
    return claims_say_ ? claims_say_(what)
                       : result<void>{fail(errc::busy, "no claims are known here yet")};
  };
  OVIR_ASSIGN(auto made, ledger::keeper::make(std::move(*book), std::move(around)));
  keeper_.emplace(std::move(made));
  const std::uint64_t last = keeper_->book().view().last_time();
  const std::uint64_t noted = kept_ledger_time(*how_.env, how_.folder).value_or(0);
  // A damaged note must not move the ledger: it counts as far as the machine's clock agrees.
  clock_.emplace(noted <= how_.env->unix_seconds() ? std::max(last, noted) : last);
  return keep_head();
}

result<std::unique_ptr<ledger::keeper_group>>
kept_ledger::join_group(std::function<void(const node_id&, std::vector<std::byte>)> send) {
  journal_ = std::make_unique<journal_folder>(*how_.env, how_.folder);
  ledger::group_surroundings around;
  around.key = how_.key;
  around.own = &*keeper_;
  around.files = journal_.get();
  around.send = std::move(send);
  around.between = [env = how_.env](std::uint32_t least, std::uint32_t most) {
    const std::uint64_t range = std::uint64_t{most} - least + 1; // the bias is below 2^-31
    return static_cast<std::uint32_t>(least + seed_from(*env) % range);
  };
  around.time = [this] { return tell_time(); };
  const auto now =
      std::chrono::duration_cast<raft::milliseconds>(how_.env->now().time_since_epoch());
  auto made = ledger::keeper_group::open(std::move(around), {}, now);
  if (!made) {
    return in_context(how_.folder + "/agreement", made.error());
  }
  return made;
}

std::uint64_t kept_ledger::tell_time() {
  const std::uint64_t last = keeper_->book().view().last_time();
  const std::uint64_t told = clock_->tell(read_clocks());
  if (last <= told + limits::keepers_clock_off_s_max / 2) {
    return std::max(told, last);
  }
  clock_.emplace(last); // it was away, or began anew
  return std::max(clock_->tell(read_clocks()), last);
}

result<void> kept_ledger::tend_index() {
  const auto now = how_.env->now();
  if (keeper_->book().indexed()) {
    const std::uint64_t size = keeper_->book().log().size();
    if (size != absorbed_ && now - absorbed_at_ >= limits::ledger_absorb_every) {
      keeper_->absorb();
      absorbed_ = size;
      absorbed_at_ = now;
    }
    if (keeper_->book().indexed()) {
      return {};
    }
  }
  if (index_tried_ != storage::env::time_point{} && now - index_tried_ < index_retry_) {
    return {};
  }
  index_retry_ = index_tried_ == storage::env::time_point{}
                     ? limits::ledger_index_retry
                     : std::min(2 * index_retry_, limits::ledger_index_retry_max);
  index_tried_ = now;
  // The log is read again beside the one that is kept, which goes on with the result.
  OVIR_ASSIGN(auto book, open_book());
  return keeper_->replace(std::move(book));
}

ledger::clock_reading kept_ledger::read_clocks() const {
  return {how_.env->unix_seconds(), std::chrono::duration_cast<std::chrono::milliseconds>(
                                        how_.env->now().time_since_epoch())};
}

result<void> kept_ledger::keep_time(std::uint64_t now) {
  const auto at = how_.env->now();
  if (time_kept_ != storage::env::time_point{} &&
      at - time_kept_ < limits::ledger_clock_kept_every) {
    return {};
  }
  time_kept_ = at;
  return write_time(*how_.env, how_.folder + "/clock", now);
}

bool kept_ledger::take_operators_word() {
  const auto said = actors::take_operators_word(*how_.env, how_.folder);
  return said && clock_->accept(*said);
}

std::vector<std::string> kept_ledger::take_notes() { return std::exchange(notes_, {}); }

kept_ledger::~kept_ledger() {
  if (keeper_) {
    keeper_->absorb();
  }
}

result<void> kept_ledger::keep_head() {
  if (!keeper_->has_head()) {
    return {}; // most keepers signed none yet
  }
  const ledger::signed_head& head = keeper_->head();
  if (head.head.size == head_kept_) {
    return {};
  }
  OVIR_TRY(write_file(*how_.env, how_.folder + "/head", ledger::to_bytes(head)));
  head_kept_ = head.head.size;
  return {};
}

result<void> kept_ledger::keep_evidence(const digest& name,
                                        std::span<const std::byte> bytes) const {
  OVIR_TRY(how_.env->make_folder(how_.folder + "/evidence"));
  return write_file(*how_.env, how_.folder + "/evidence/" + to_hex(name), bytes);
}

} // namespace ovir::actors
