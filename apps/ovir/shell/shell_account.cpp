#include "apps/ovir/shell/shell_account.hpp"

#include "ledger/rules/attest.hpp"
#include "ledger/rules/offer.hpp"
#include "messages/hex.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>
#include <vector>

namespace ovir::apps {

namespace {

constexpr std::uint64_t microseconds = 1'000'000; // per second
constexpr std::uint64_t completion_default = 128; // docs/formats/admin.md

result<std::string> text_at(const json& answer, const char* key) {
  const auto found = answer.find(key);
  if (found == answer.end() || !found->is_string()) {
    return fail(errc::malformed, "the node's answer has no '{}'; it may be of an older version",
                key);
  }
  return found->get<std::string>();
}

result<digest> ledger_in(const json& answer) {
  OVIR_ASSIGN(const std::string text, text_at(answer, "ledger"));
  return digest_from_hex(text);
}

result<ledger::micro_credits> amount_from(const std::string& text) {
  std::uint64_t amount = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, wrong] = std::from_chars(text.data(), end, amount);
  if (wrong != std::errc{} || rest != end || amount == 0 || amount > limits::ledger_supply_max) {
    return fail(errc::invalid_argument, "'{}' is no amount; give whole micro-credits, 1 to {}",
                text.substr(0, 32), limits::ledger_supply_max);
  }
  return amount;
}

std::string signed_hex(const secret_key& key, const digest& name, const ledger::command& what) {
  std::vector<std::byte> bytes;
  ledger::encode({0, what, ledger::sign_action(key, name, what)}, bytes);
  return to_hex(std::span<const std::byte>{bytes});
}

} // namespace

std::uint64_t shell_account::next_nonce() {
  nonce_ = std::max(nonce_ + 1, clock_());
  return nonce_;
}

result<std::string> shell_account::sign_offer(const json& answer, const json& args,
                                              const node_id& node, ledger::micro_credits most) {
  OVIR_ASSIGN(const digest name, ledger_in(answer));
  OVIR_ASSIGN(const std::string text, text_at(answer, "entry"));
  OVIR_ASSIGN(const std::vector<std::byte> bytes,
              bytes_from_hex(text, "the quote the node sent", limits::ledger_entry_bytes_max));
  OVIR_ASSIGN(ledger::entry e, ledger::decode_entry(bytes));
  auto* const offered = std::get_if<ledger::reserve>(&e.what);
  if (offered == nullptr) {
    return fail(errc::malformed, "the node wants a {} signed, not a reservation",
                to_string(ledger::kind_of(e.what)));
  }
  ledger::offer_terms terms;
  terms.payer = id();
  terms.scheduler = node;
  terms.most = most;
  if (const auto tokens = args.find("tokens"); tokens != args.end() && tokens->is_array()) {
    terms.prompt = tokens->size();
  }
  terms.completion_max = args.value("max_tokens", completion_default);
  terms.now = clock_() / microseconds;
  OVIR_TRY(ledger::check_offer(*offered, terms));
  offered->nonce = next_nonce();
  return signed_hex(*key_, name, e.what);
}

result<std::string> shell_account::sign_action(const json& head, const std::string& action,
                                               const std::string& subject,
                                               const std::string& amount) {
  OVIR_ASSIGN(const digest name, ledger_in(head));
  if (action == "transfer") {
    OVIR_ASSIGN(const node_id to, node_id_from_hex(subject));
    OVIR_ASSIGN(const ledger::micro_credits much, amount_from(amount));
    const ledger::command what = ledger::transfer{id(), to, much, next_nonce()};
    OVIR_TRY(ledger::check_form(what));
    return signed_hex(*key_, name, what);
  }
  OVIR_ASSIGN(const ledger::micro_credits much, amount_from(subject));
  const ledger::command what = action == "stake"
                                   ? ledger::command{ledger::lock{id(), much, next_nonce()}}
                                   : ledger::command{ledger::unlock{id(), much, next_nonce()}};
  return signed_hex(*key_, name, what);
}

} // namespace ovir::apps
