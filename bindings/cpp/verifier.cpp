#include "include/ovir/verifier.hpp"

#include "apps/compute_threads.hpp"
#include "apps/ovir-verify/replay.hpp"
#include "apps/receipt_report.hpp"
#include "bindings/cpp/engine_parts.hpp"
#include "bindings/cpp/thrown.hpp"

#include <atomic>

namespace ovir::v0 {

namespace {

result<compute::signer_policy> policy_from(const signers& who) {
  if (!who.keys.empty()) {
    if (who.any || !who.ledger_head.empty()) {
      return fail(
          errc::invalid_argument,
          "keys, ledger_head and any of the signers contradict each other; give one of them");
    }
    std::string lines;
    for (const std::string& key : who.keys) {
      lines += key + "\n";
    }
    OVIR_ASSIGN(std::set<node_id> listed, apps::parse_signers(lines));
    return compute::signer_policy{compute::signer_policy::kind::listed, std::move(listed)};
  }
  apps::signer_options others;
  others.any = who.any;
  others.head = who.ledger_head.string();
  others.log = who.ledger_log.string();
  return apps::policy_of(others, bindings::machine());
}

verify_failure failure_from(const compute::receipt_failure& found) {
  verify_failure made;
  made.what = found.what;
  if (found.signer) {
    made.signer = to_hex(*found.signer);
  }
  if (found.unit) {
    made.window = found.unit->window;
    made.layer = found.unit->layer;
  }
  made.position = found.at;
  return made;
}

verify_failure failure_from(const apps::failure& found) {
  return failure_from(compute::receipt_failure{found.what, std::nullopt, found.unit, found.at});
}

std::vector<apps::failure> replayed(const apps::transcript_file& stated, const model& with) {
  static const std::atomic<bool> interrupted{false};
  bindings::held_model& held = model_access::of(with);
  unwrap(held.prepare()); // from then on it does not change
  apps::compute_threads runner{held.threads()};
  return unwrap(apps::replay(stated, held.model(), held.kernels(), runner, {}, interrupted));
}

verdict verdict_on_receipt(std::span<const std::byte> receipt, const signers& who,
                           const model* with) {
  const compute::signer_policy policy = unwrap(policy_from(who));
  const apps::any_receipt read = unwrap(apps::parse_receipt(
      std::string_view{reinterpret_cast<const char*>(receipt.data()), receipt.size()}));
  verdict made;
  made.tier = with == nullptr ? "T0" : "T2";
  made.transcript = apps::receipt_document(read).value("transcript", std::string{});
  for (const compute::receipt_failure& found : apps::check_receipt(read, policy)) {
    made.failures.push_back(failure_from(found));
  }
  if (with == nullptr || !made.ok()) {
    return made;
  }
  const auto* const whole = std::get_if<ovir::receipt>(&read);
  if (whole == nullptr) {
    throw_error(fail(errc::invalid_argument,
                     "a compact receipt has no tokens to compute again; give the whole receipt"));
  }
  for (const apps::failure& difference : replayed(apps::transcript_in(*whole), *with)) {
    made.failures.push_back(failure_from(apps::blame(*whole, difference)));
  }
  return made;
}

verdict verdict_on_transcript(std::string_view text, const model* with) {
  const apps::transcript_file stated = unwrap(apps::parse_transcript_file(text));
  verdict made;
  made.tier = with == nullptr ? "T0" : "T2";
  made.transcript = to_hex(stated.root);
  for (const apps::failure& found : apps::check_root(stated)) {
    made.failures.push_back(failure_from(found));
  }
  if (with != nullptr && made.ok()) {
    for (const apps::failure& found : replayed(stated, *with)) {
      made.failures.push_back(failure_from(found));
    }
  }
  return made;
}

} // namespace

verdict verify_receipt(std::span<const std::byte> receipt, const signers& who) {
  return verdict_on_receipt(receipt, who, nullptr);
}

verdict verify_receipt(std::span<const std::byte> receipt, const signers& who, const model& with) {
  return verdict_on_receipt(receipt, who, &with);
}

verdict verify_transcript(std::string_view text) { return verdict_on_transcript(text, nullptr); }

verdict verify_transcript(std::string_view text, const model& with) {
  return verdict_on_transcript(text, &with);
}

} // namespace ovir::v0
