#include "ledger/keeper/message.hpp"

#include "ledger/keeper/index_records.hpp"
#include "messages/limits/credit.hpp"
#include "messages/limits/evidence.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/wire/fields.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

// message = kind:u8 version:u8 id:u64 body; docs/formats/credit.md lists the bodies.

namespace ovir {

template <class Io, of_type<budget_report> T>
void fields(Io& io, T& m) {
  io(m.asked, m.known, m.voucher, m.account, m.key, m.limit, m.reserved, m.spent, m.expires,
     m.revoked, m.may_reserve, m.free, m.time);
}
template <class Io, of_type<budget_request> T>
void fields(Io& io, T& q) {
  io(q.request, q.entry, q.time, q.scheduler, q.open, q.prompt, q.completion, q.reserved, q.spent);
}
template <class Io, of_type<budget_statement> T>
void fields(Io& io, T& m) {
  io(m.voucher, m.more, m.next);
  io.template list<std::uint32_t>(m.requests, "requests in one message", limits::voucher_page_max);
  const auto disordered = [](const auto& a, const auto& b) { return a.entry >= b.entry; };
  io.expect(std::adjacent_find(m.requests.begin(), m.requests.end(), disordered) ==
                m.requests.end(),
            "the requests of a voucher are not in order");
}

} // namespace ovir

namespace ovir::ledger {

namespace {

constexpr std::uint8_t version = 1;

/// Values travel. Questions are below 32.
enum class message_kind : std::uint8_t {
  ask_account = 1,
  submit = 2,
  ask_request = 3,
  ask_entries = 4,
  ask_statement = 5,
  vouch = 6,
  claim = 7,
  ask_voucher = 8,
  ask_voucher_statement = 9,
  account_report = 33,
  promise = 34,
  refusal = 35,
  request_report = 36,
  entry_run = 37,
  head_news = 38,
  statement_report = 39,
  leader_news = 40,
  budget_report = 41,
  budget_statement = 42,
};
constexpr std::uint8_t first_answer = 32;
constexpr std::array kinds{message_kind::ask_account,
                           message_kind::submit,
                           message_kind::ask_request,
                           message_kind::ask_entries,
                           message_kind::ask_statement,
                           message_kind::vouch,
                           message_kind::claim,
                           message_kind::ask_voucher,
                           message_kind::ask_voucher_statement,
                           message_kind::account_report,
                           message_kind::promise,
                           message_kind::refusal,
                           message_kind::request_report,
                           message_kind::entry_run,
                           message_kind::head_news,
                           message_kind::statement_report,
                           message_kind::leader_news,
                           message_kind::budget_report,
                           message_kind::budget_statement};
static_assert(kinds.size() == std::variant_size_v<decltype(message::body)>);

std::string printable(std::string_view text) {
  std::string clean{text.substr(0, limits::error_text_bytes_max)};
  std::replace_if(
      clean.begin(), clean.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return clean;
}

constexpr std::size_t proof_bytes_max = 8U << 10U;

} // namespace

template <class Io, of_type<ask_account> T>
void fields(Io& io, T& m) {
  io(m.who);
}
template <class Io, of_type<submit> T>
void fields(Io& io, T& m) {
  io.block(m.entry, "a command", limits::ledger_entry_bytes_max);
  io.block(m.evidence, "evidence", limits::credit_evidence_bytes_max);
}
template <class Io, of_type<ask_request> T>
void fields(Io& io, T& m) {
  io(m.request);
}
template <class Io, of_type<ask_entries> T>
void fields(Io& io, T& m) {
  io(m.first);
}
template <class Io, of_type<ask_statement> T>
void fields(Io& io, T& m) {
  io(m.who, m.from.entry, m.from.skip, m.from.newest);
}
template <class Io, of_type<vouch> T>
void fields(Io& io, T& m) {
  if constexpr (Io::reads) {
    m.what.verdicts.resize(1);
  }
  io(m.what.request, m.what.window, m.what.guilty, m.what.finder, m.what.evidence,
     m.what.verdicts.front().verifier, m.what.verdicts.front().proof);
}
template <class Io, of_type<claim> T>
void fields(Io& io, T& m) {
  io(m.terms.request.value, m.terms.content, m.terms.model, m.terms.layers);
  if constexpr (Io::reads) {
    std::vector<std::byte> bytes;
    io.block(bytes, "the name of a profile", limits::profile_bytes_max);
    m.terms.profile.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  } else {
    io.block(std::as_bytes(std::span{m.terms.profile}), {}, 0);
  }
  io.block(m.evidence, "evidence", limits::claim_bytes_max);
}
template <class Io, of_type<account_report> T>
void fields(Io& io, T& m) {
  io(m.who);
  io.block(m.genesis, "a genesis entry", limits::ledger_entry_bytes_max);
  io.formed(m.head, "a head", proof_bytes_max, signed_head_from);
  io(m.free, m.pending, m.stake, m.leaving, m.earned, m.nonce, m.reputation_ppm, m.influence,
     m.admitted, m.newcomer, m.pending_windows, m.time);
  io.template list<std::uint32_t>(m.ejected, "convicted nodes", limits::credit_ejected_max);
}
template <class Io, of_type<promise> T>
void fields(Io& io, T& m) {
  io(m.time);
  io.formed(m.entry, "a promise", proof_bytes_max, acknowledgement_from);
}
template <class Io, of_type<refusal> T>
void fields(Io& io, T& m) {
  io(m.reason.code);
  if constexpr (Io::reads) {
    if (to_string(m.reason.code) == "unknown") {
      io.refuse(fail(errc::unsupported,
                     "a refusal with the code {}, which this version does not know",
                     static_cast<unsigned>(m.reason.code)));
    }
    std::vector<std::byte> bytes;
    io.block(bytes, "a refusal's sentence", limits::error_text_bytes_max);
    m.reason.message.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    io.expect(printable(m.reason.message) == m.reason.message,
              "a refusal's sentence is not printable ASCII");
  } else {
    const std::string text = printable(m.reason.message);
    io.block(std::as_bytes(std::span{text}), {}, 0);
  }
}
template <class Io, of_type<request_report> T>
void fields(Io& io, T& m) {
  auto flags = static_cast<std::uint8_t>((m.known ? 1U : 0U) | (m.open ? 2U : 0U) |
                                         (m.prompt_accounted ? 4U : 0U));
  io(m.request, flags);
  io.expect(flags <= 7, "a request's flags are above 7");
  if constexpr (Io::reads) {
    m.known = (flags & 1U) != 0;
    m.open = (flags & 2U) != 0;
    m.prompt_accounted = (flags & 4U) != 0;
  }
  io(m.windows, m.accounted, m.prompt, m.reserved, m.accrued, m.held, m.expires, m.scheduler);
}
template <class Io, of_type<entry_run> T>
void fields(Io& io, T& m) {
  io(m.first);
  io.formed(m.head, "a head", proof_bytes_max, signed_head_from);
  io.template list<std::uint32_t>(
      m.entries, "entries in one message", limits::credit_entries_max,
      [&io](auto& entry) { io.block(entry, "an entry", limits::ledger_entry_bytes_max); });
}
template <class Io, of_type<head_news> T>
void fields(Io& io, T& m) {
  io.formed(m.head, "a head", proof_bytes_max, signed_head_from);
}
template <class Io, of_type<leader_news> T>
void fields(Io& io, T& m) {
  io(m.keeper);
}
template <class Io, of_type<statement_report::payer> T>
void fields(Io& io, T& p) {
  io(p.request, p.node);
}
template <class Io, of_type<statement_report> T>
void fields(Io& io, T& m) {
  io(m.who, m.more);
  io.template list<std::uint32_t>(
      m.lines, "movements in one message", limits::statement_lines_max, [&](auto& line) {
        if constexpr (Io::reads) {
          io.expect(read_line(io.bytes(), m.who, line),
                    "a statement has a movement that is none of its account");
        } else {
          write_line(io.bytes(), line);
        }
      });
  io.template list<std::uint32_t>(m.payers, "payers in one message", limits::statement_lines_max);
  const auto disordered = [](const auto& a, const auto& b) { return !(a.request < b.request); };
  io.expect(std::adjacent_find(m.payers.begin(), m.payers.end(), disordered) == m.payers.end(),
            "the requests of a statement are not in order");
}

template <class Io, of_type<ask_voucher> T>
void fields(Io& io, T& m) {
  io(m.which, m.by_key);
}
template <class Io, of_type<ask_voucher_statement> T>
void fields(Io& io, T& m) {
  io(m.voucher, m.first);
}
namespace {

result<message> read_message(byte_reader& r, message_kind kind, std::uint64_t id) {
  const auto* const found = std::find(kinds.begin(), kinds.end(), kind);
  if (found == kinds.end()) {
    return fail(errc::unsupported, "a message of kind {}, which this version does not know",
                static_cast<unsigned>(kind));
  }
  message m{id, {}};
  empty_alternative(m.body, static_cast<std::size_t>(found - kinds.begin()));
  field_reader io{r};
  std::visit([&io](auto& body) { fields(io, body); }, m.body);
  OVIR_TRY(io.refused());
  return m;
}

} // namespace

bool operator==(const vouch& a, const vouch& b) {
  const verdict& x = a.what.verdicts.front();
  const verdict& y = b.what.verdicts.front();
  return a.what.request == b.what.request && a.what.window == b.what.window &&
         a.what.guilty == b.what.guilty && a.what.finder == b.what.finder &&
         a.what.evidence == b.what.evidence && x.verifier == y.verifier && x.proof == y.proof;
}

result<genesis> check_report(const account_report& r, const node_id& keeper) {
  auto first = decode_entry(r.genesis);
  auto* const rules = first ? std::get_if<genesis>(&first->what) : nullptr;
  if (rules == nullptr || r.head.head.ledger != leaf_hash(r.genesis)) {
    return fail(errc::digest_mismatch,
                "{} reports a ledger with another first entry than the one that names it",
                short_name(keeper));
  }
  if (!std::binary_search(rules->keepers.begin(), rules->keepers.end(), keeper)) {
    return fail(errc::digest_mismatch, "{} reports a ledger that it does not keep, but {}",
                short_name(keeper), names_of(rules->keepers));
  }
  if (!signed_by_majority(r.head, rules->keepers)) {
    return fail(errc::digest_mismatch,
                "{} reports a head of {} entries that is not signed by more than half of its "
                "keepers, {}",
                short_name(keeper), r.head.head.size, names_of(rules->keepers));
  }
  return std::move(*rules);
}

result<void> check_promise(const promise& p, std::span<const std::byte> entry, const digest& ledger,
                           std::span<const node_id> keepers) {
  std::vector<std::byte> timed{entry.begin(), entry.end()};
  OVIR_CHECK(timed.size() >= sizeof(p.time), timed.size());
  std::memcpy(timed.data(), &p.time, sizeof(p.time));
  const signed_head& head = p.entry.head;
  if (head.head.ledger != ledger || !signed_by_majority(head, keepers)) {
    return fail(errc::digest_mismatch,
                "the promise is not signed by more than half of this ledger's keepers, {}",
                names_of(keepers));
  }
  if (p.entry.entry.leaf != leaf_hash(timed) || !proves(p.entry.entry, head.head)) {
    return fail(errc::digest_mismatch, "the promise of entry {} is not about what was asked for",
                p.entry.entry.index);
  }
  return {};
}

bool is_question(std::span<const std::byte> bytes) noexcept {
  return !bytes.empty() && std::to_integer<std::uint8_t>(bytes[0]) < first_answer;
}

std::vector<std::byte> to_bytes(const message& m) {
  std::vector<std::byte> out;
  byte_writer w{out};
  w.number(static_cast<std::uint8_t>(kinds[m.body.index()]));
  w.number(version);
  w.number(m.id);
  field_writer io{w};
  std::visit([&io](const auto& body) { fields(io, body); }, m.body);
  OVIR_CHECK(out.size() <= limits::credit_message_bytes_max, out.size());
  return out;
}

result<message> message_from(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::credit_message_bytes_max) {
    return fail(errc::over_limit, "a message about credits of {} bytes; at most {} are allowed",
                bytes.size(), limits::credit_message_bytes_max);
  }
  byte_reader r{bytes};
  const auto kind = static_cast<message_kind>(r.number<std::uint8_t>());
  if (const auto of = r.number<std::uint8_t>(); r.sound() && of != version) {
    return fail(errc::unsupported, "a message about credits of version {}; this program reads {}",
                of, version);
  }
  const auto id = r.number<std::uint64_t>();
  OVIR_ASSIGN(message m, read_message(r, kind, id));
  if (!r.finished()) {
    return fail(errc::malformed, "a message about credits of {} bytes; some are {}", bytes.size(),
                r.sound() ? "left over" : "missing");
  }
  return m;
}

} // namespace ovir::ledger
