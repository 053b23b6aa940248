#include "apps/ovir/ledger/ledger_signing.hpp"

#include "apps/key_file.hpp"
#include "apps/ovir/ledger/ledger_folder.hpp"
#include "apps/state_folder.hpp"
#include "ledger/rules/attest.hpp"

#include <utility>

namespace ovir::apps {

void add_signing(CLI::App& command, signing_options& given) {
  command.add_option("--key", given.key,
                     "Secret key of who acts (default: node.key in the state folder)");
  command.add_option("--keeper", given.keeper,
                     "Secret key of who keeps the log (default: node.key in the state folder)");
  command.add_option("--nonce", given.nonce,
                     "Above every one the key used (default: the next); give it to retry safely");
  command.add_option("--promise", given.promise,
                     "File for the keeper's signed promise of the entry's index");
}

result<secret_key> key_from(surroundings& around, const std::string& given) {
  std::string path = given;
  if (path.empty()) {
    OVIR_ASSIGN(const std::string state, state_folder());
    path = key_path_in(state);
  }
  return load_key(around.environment, path);
}

result<signed_entry> commit_signed(const signing_options& given, surroundings& around,
                                   const command_maker& make) {
  OVIR_ASSIGN(const std::string folder, ledger_folder_from(given.folder));
  OVIR_ASSIGN(const secret_key key, key_from(around, given.key));
  OVIR_ASSIGN(const secret_key keeper, key_from(around, given.keeper));
  OVIR_ASSIGN(ledger_folder open, ledger_folder::open(around.environment, folder));
  ledger::ledger& book = open.book();
  const ledger::account* const self = book.view().find(key.id());
  const std::uint64_t nonce =
      given.nonce != 0 ? given.nonce : (self == nullptr ? 0 : self->nonce) + 1;
  OVIR_ASSIGN(ledger::command c, make(key.id(), nonce));
  OVIR_ASSIGN(const ledger::authentic_command signed_command,
              ledger::authenticate(book.id(), c, ledger::sign_action(key, book.id(), c)));
  OVIR_ASSIGN(ledger::acknowledgement promise, open.commit(signed_command, keeper));
  if (!given.promise.empty()) {
    OVIR_TRY(write_proof_file(around.environment, given.promise, to_bytes(promise)));
  }
  return signed_entry{std::move(c), std::move(promise), nonce};
}

} // namespace ovir::apps
