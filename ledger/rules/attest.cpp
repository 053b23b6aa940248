#include "ledger/rules/attest.hpp"

namespace ovir::ledger {

result<void> check_signatures(const digest& ledger, const command& c, const signature& proof) {
  if (const node_id* const signer = signer_of(c); signer != nullptr) {
    if (!verify(*signer, action_domain, action_bytes(ledger, c), proof)) {
      return fail(errc::invalid_argument,
                  "this {} is not signed by {}; sign it with that key, for this ledger",
                  to_string(kind_of(c)), short_name(*signer));
    }
  }
  if (const convict* const x = std::get_if<convict>(&c); x != nullptr) {
    const std::vector<std::byte> said = verdict_bytes(ledger, *x);
    for (const verdict& v : x->verdicts) {
      if (!verify(v.verifier, verdict_domain, said, v.proof)) {
        return fail(errc::invalid_argument, "the verdict of {} is not signed by it",
                    short_name(v.verifier));
      }
    }
  }
  if (const carriage* const x = std::get_if<carriage>(&c); x != nullptr) {
    const counted_stream& said = x->carried.what;
    if (!verify(said.receiver, count_domain, count_statement(said), x->carried.proof)) {
      return fail(errc::invalid_argument,
                  "that {} received {} bytes of a stream over {} is not signed by it",
                  short_name(said.receiver), said.bytes, short_name(said.relay));
    }
  }
  return {};
}

result<authentic_command> authenticate(const digest& ledger, command c, const signature& proof) {
  if (signer_of(c) == nullptr) {
    return fail(errc::invalid_argument, "a {} is not for clients to send", to_string(kind_of(c)));
  }
  OVIR_TRY(check_form(c));
  OVIR_TRY(check_signatures(ledger, c, proof));
  return authentic_command{std::move(c), proof};
}

result<authentic_command> by_log_keeper(const digest& ledger, command c) {
  if (signer_of(c) != nullptr) {
    return fail(errc::invalid_argument, "a {} needs the signature of its account",
                to_string(kind_of(c)));
  }
  OVIR_TRY(check_form(c));
  OVIR_TRY(check_signatures(ledger, c, {}));
  return authentic_command{std::move(c), {}};
}

signature sign_action(const secret_key& key, const digest& ledger, const command& c) {
  return key.sign(action_domain, action_bytes(ledger, c));
}

verdict give_verdict(const secret_key& key, const digest& ledger, const convict& c) {
  return {key.id(), key.sign(verdict_domain, verdict_bytes(ledger, c))};
}

} // namespace ovir::ledger
