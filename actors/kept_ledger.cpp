#include "actors/kept_ledger.hpp"

#include "messages/limits_credit.hpp"
#include "storage/durable_file.hpp"

#include <algorithm>

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

} // namespace

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
  rules.log_keeper = how_.key->id();
  how_.env->random(std::as_writable_bytes(std::span{rules.salt.bytes}));
  OVIR_TRY(ledger::check(rules.rules)); // before there is a file
  OVIR_ASSIGN(const auto file, storage::open_durable_file(how_.folder + "/log", true));
  ledger::ledger_options options;
  options.seed = seed_from(*how_.env);
  OVIR_TRY(ledger::ledger::create(*file, rules, how_.env->unix_seconds(), options));
  return {};
}

result<std::uint64_t> kept_ledger::entries_least() const {
  OVIR_ASSIGN(const bool there, has_file(*how_.env, how_.folder, "head"));
  if (!there) {
    return std::uint64_t{0};
  }
  OVIR_ASSIGN(const std::string text,
              how_.env->read(how_.folder + "/head", limits::ledger_head_file_bytes_max));
  const auto head = ledger::signed_head_from(std::as_bytes(std::span{text}));
  if (!head) {
    return in_context("head", head.error());
  }
  return head->head.size;
}

result<void> kept_ledger::reopen() {
  keeper_.reset();
  file_.reset();
  OVIR_ASSIGN(file_, storage::open_durable_file(how_.folder + "/log", false));
  ledger::ledger_options options;
  options.seed = seed_from(*how_.env);
  OVIR_ASSIGN(options.entries_least, entries_least());
  ledger::log_report report;
  OVIR_ASSIGN(auto book, ledger::ledger::open(*file_, options, report));
  note_ = report.torn ? fmt::format("a batch of {} bytes that was never finished was cleared",
                                    report.torn_bytes)
                      : std::string{};
  ledger::keeper_surroundings around;
  around.key = how_.key;
  around.roles_of = how_.roles_of;
  around.keep_evidence = [this](const digest& name, std::span<const std::byte> bytes) {
    return keep_evidence(name, bytes);
  };
  OVIR_ASSIGN(auto made, ledger::keeper::make(std::move(book), std::move(around)));
  keeper_.emplace(std::move(made));
  return keep_head();
}

result<void> kept_ledger::keep_head() {
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
