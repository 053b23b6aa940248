#include "apps/ovir/ledger/ledger_folder.hpp"

#include "actors/payment/kept_ledger.hpp"
#include "apps/state_folder.hpp"
#include "ledger/keeper/ledger_clock.hpp"
#include "ledger/keeper/verify.hpp"
#include "messages/limits/ledger.hpp"
#include "storage/env/durable_file.hpp"
#include "storage/store/lmdb_index.hpp"

#include <charconv>

namespace ovir::apps {

namespace {

constexpr std::uint64_t proof_file_bytes_max = 16U << 10U;

std::string log_path(const std::string& folder) { return folder + "/log"; }
std::string head_path(const std::string& folder) { return folder + "/head"; }

std::uint64_t seed_from(storage::env& environment) {
  std::uint64_t seed = 0;
  environment.random(std::as_writable_bytes(std::span{&seed, 1}));
  return seed;
}

result<std::vector<std::string>> files_in(storage::env& environment, const std::string& folder) {
  return environment.list(folder);
}

} // namespace

result<std::string> ledger_folder_from(const std::string& given) {
  if (!given.empty()) {
    return given;
  }
  OVIR_ASSIGN(const std::string state, state_folder());
  return state + "/ledger";
}

result<ledger_folder> ledger_folder::create(storage::env& environment, const std::string& folder,
                                            const ledger::genesis& rules,
                                            const secret_key& keeper) {
  OVIR_TRY(ledger::check(rules.rules)); // before there is a folder
  OVIR_TRY(environment.make_folder(folder));
  OVIR_ASSIGN(auto lock, environment.lock(folder));
  OVIR_ASSIGN(auto file, storage::open_durable_file(log_path(folder), true));
  ledger::ledger_options options;
  options.seed = seed_from(environment);
  auto book = ledger::ledger::create(*file, rules, environment.unix_seconds(), options);
  if (!book) {
    return in_context(folder, book.error());
  }
  ledger_folder made{environment,     folder,  std::move(lock),
                     std::move(file), nullptr, std::move(*book)};
  OVIR_TRY(made.sign_head(keeper));
  return made;
}

result<ledger_folder> ledger_folder::open(storage::env& environment, const std::string& folder) {
  OVIR_ASSIGN(const auto files, files_in(environment, folder));
  if (std::find(files.begin(), files.end(), "log") == files.end()) {
    return fail(errc::not_found,
                "{}: there is no ledger; make one with ovir ledger create, or name another folder "
                "with --ledger",
                folder);
  }
  OVIR_ASSIGN(auto lock, environment.lock(folder));
  OVIR_ASSIGN(const auto head, kept_head(environment, folder));
  OVIR_ASSIGN(auto file, storage::open_durable_file(log_path(folder), false));
  ledger::ledger_options options;
  options.seed = seed_from(environment);
  options.entries_least = head ? head->head.size : 0;
  storage::derived_index_report found;
  auto index = storage::open_lmdb_index(environment, folder, found);
  options.index = index ? index->get() : nullptr;
  ledger::open_report report;
  auto book = ledger::ledger::open(*file, options, report);
  if (book && head && !book->extends(head->head) && index && (*index)->clear()) {
    report = {}; // not by the index's word alone
    report.index_trouble = "it does not lead to the signed head";
    book = ledger::ledger::open(*file, options, report);
  }
  if (!book) {
    return in_context(folder, book.error());
  }
  if (report.log.torn) {
    write_note(fmt::format("note: a batch of {} that was never finished was cleared\n",
                           bytes_text(report.log.torn_bytes)));
  }
  if (!index || found.damaged || !report.index_trouble.empty()) {
    write_note(fmt::format("note: the ledger's index was of no use; {}\n",
                           index ? "it was made anew from the log" : index.error().message));
  }
  return ledger_folder{environment,
                       folder,
                       std::move(lock),
                       std::move(file),
                       index ? std::move(*index) : nullptr,
                       std::move(*book)};
}

result<void> ledger_folder::check_keeper(const secret_key& keeper) const {
  const std::vector<node_id>& keepers = book_->view().origin().keepers;
  if (keepers.size() > 1) {
    return fail(errc::unsupported, "this ledger has {} keepers; one alone cannot write to it",
                keepers.size());
  }
  if (keeper.id() != keepers.front()) {
    return fail(errc::invalid_argument,
                "the key {} is not that of this ledger's keeper, {}; name the right one with "
                "--keeper",
                short_name(keeper.id()), short_name(keepers.front()));
  }
  return {};
}

result<ledger::signed_head> ledger_folder::sign_head(const secret_key& keeper) {
  OVIR_TRY(check_keeper(keeper));
  const ledger::signed_head head = ledger::sign(keeper, book_->head());
  OVIR_TRY(write_proof_file(*environment_, head_path(folder_), to_bytes(head)));
  return head;
}

result<std::uint64_t> ledger_folder::time_now() const {
  const std::uint64_t wall = environment_->unix_seconds();
  const std::uint64_t noted = actors::kept_ledger_time(*environment_, folder_).value_or(0);
  const std::uint64_t last =
      noted <= wall ? std::max(book_->view().last_time(), noted) : book_->view().last_time();
  ledger::ledger_clock clock{last};
  const std::uint64_t now = clock.tell({wall, {}});
  if (!clock.off() || wall < last) {
    return now;
  }
  if (const auto said = actors::take_operators_word(*environment_, folder_);
      said && clock.accept(*said)) {
    return wall;
  }
  return fail(errc::invalid_argument,
              "{} s passed since the ledger's last entry by this machine's clock; if the clock is "
              "right, say so first with: ovir ledger clock --accept now",
              wall - last);
}

result<ledger::acknowledgement> ledger_folder::commit(const ledger::authentic_command& one,
                                                      const secret_key& keeper) {
  OVIR_TRY(check_keeper(keeper)); // before anything is written
  OVIR_ASSIGN(const std::uint64_t now, time_now());
  OVIR_ASSIGN(const auto out, book_->commit(std::span{&one, 1}, now));
  if (!out.commands.front().done) {
    return out.commands.front().why;
  }
  OVIR_ASSIGN(const ledger::signed_head head, sign_head(keeper));
  return book_->acknowledge(out.commands.front().done->index, head);
}

result<std::unique_ptr<durable_file>> open_ledger_log(const std::string& folder) {
  auto file = storage::open_durable_file_to_read(log_path(folder));
  if (!file && file.error().code == errc::not_found) {
    return fail(errc::not_found,
                "{}: there is no ledger; make one with ovir ledger create, or name another folder "
                "with --ledger",
                folder);
  }
  return file;
}

result<ledger_origin> origin_of(durable_file& log) {
  std::optional<ledger_origin> found;
  ledger::log_report report;
  const auto read = ledger::entry_log::read(
      log,
      [&](std::uint64_t, std::span<const std::byte> bytes) -> result<void> {
        OVIR_ASSIGN(ledger::entry first, ledger::decode_entry(bytes));
        if (auto* const rules = std::get_if<ledger::genesis>(&first.what)) {
          found = ledger_origin{ledger::leaf_hash(bytes), std::move(*rules)};
        }
        return fail(errc::cancelled, "the log does not begin with its rules"); // no further
      },
      report);
  if (found) {
    return std::move(*found);
  }
  return read ? fail(errc::malformed, "the log has no entry") : read.error();
}

result<void> walk_ledger(const std::string& given_folder,
                         const std::function<void(std::uint64_t, const ledger::entry&,
                                                  const std::vector<ledger::posting>&)>& visit) {
  OVIR_ASSIGN(const std::string folder, ledger_folder_from(given_folder));
  OVIR_ASSIGN(const auto file, open_ledger_log(folder));
  ledger::verify_options how;
  how.signatures = false;
  how.visit = visit;
  OVIR_ASSIGN(const ledger::verify_report seen, ledger::verify_log(*file, how));
  if (seen.fault) {
    return fail(errc::digest_mismatch, "{}; see ovir ledger verify", seen.fault->what);
  }
  return {};
}

result<std::optional<ledger::signed_head>> kept_head(storage::env& environment,
                                                     const std::string& folder) {
  OVIR_ASSIGN(const auto files, files_in(environment, folder));
  if (std::find(files.begin(), files.end(), "head") == files.end()) {
    return std::optional<ledger::signed_head>{};
  }
  OVIR_ASSIGN(const std::string text, read_proof_file(environment, head_path(folder)));
  auto head = ledger::signed_head_from(bytes_of(text));
  if (!head) {
    return in_context(head_path(folder), head.error());
  }
  return std::optional{*head};
}

result<std::string> read_proof_file(storage::env& environment, const std::string& path) {
  return environment.read(path, proof_file_bytes_max);
}

result<void> write_proof_file(storage::env& environment, const std::string& path,
                              std::span<const std::byte> bytes) {
  OVIR_ASSIGN(const auto file, environment.stage(path));
  OVIR_TRY(file->append(bytes));
  return file->commit();
}

result<ledger::micro_credits> credits_from(std::string_view text) {
  constexpr std::size_t decimals_max = 6;
  const std::size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction =
      point == std::string_view::npos ? std::string_view{} : text.substr(point + 1);
  std::string digits{whole};
  digits += fraction;
  digits.append(decimals_max - std::min(decimals_max, fraction.size()), '0');
  std::uint64_t amount = 0;
  const char* const end = digits.data() + digits.size();
  const auto [rest, wrong] = std::from_chars(digits.data(), end, amount);
  if (wrong != std::errc{} || rest != end || whole.empty() || fraction.size() > decimals_max ||
      (point != std::string_view::npos && fraction.empty()) || digits.front() == '-' ||
      amount > limits::ledger_supply_max) {
    return fail(errc::invalid_argument,
                "'{}' is no amount; give credits with at most six decimals, such as 12.5", text);
  }
  return amount;
}

std::string credits_text(ledger::micro_credits amount) {
  return fmt::format("{}.{:06}", amount / ledger::credit, amount % ledger::credit);
}

std::string place_text(const ledger::account_ref& ref) {
  const std::string name{to_string(ref.kind)};
  return ref.of == digest{} ? name : name + " of " + to_hex(ref.of).substr(0, 8);
}

json posting_json(const ledger::posting& p) {
  const auto account = [](const ledger::account_ref& ref) {
    return json{{"purse", std::string{to_string(ref.kind)}},
                {"of", ref.of == digest{} ? json(nullptr) : json(to_hex(ref.of))}};
  };
  return {{"kind", std::string{to_string(p.kind)}},
          {"from", account(p.from)},
          {"to", account(p.to)},
          {"amount", p.amount},
          {"request", p.request == digest{} ? json(nullptr) : json(to_hex(p.request))},
          {"window", p.window}};
}

json keys_json(const std::vector<node_id>& keys) {
  json list = json::array();
  for (const node_id& key : keys) {
    list.push_back(to_hex(key));
  }
  return list;
}

json head_json(const ledger::log_head& head) {
  return {{"ledger", to_hex(head.ledger)},
          {"size", head.size},
          {"root", to_hex(head.root)},
          {"chain", to_hex(head.chain)},
          {"time", head.time}};
}

} // namespace ovir::apps
