#include "ledger/keeper/message.hpp"

#include "ledger/keeper/index_records.hpp"
#include "ledger/log/codec.hpp"
#include "messages/limits/credit.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>
#include <array>
#include <string>

// message = kind:u8 version:u8 id:u64 body; docs/formats/credit.md lists the bodies.

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
  account_report = 33,
  promise = 34,
  refusal = 35,
  request_report = 36,
  entry_run = 37,
  head_news = 38,
  statement_report = 39,
};
constexpr std::uint8_t first_answer = 32;
constexpr std::array kinds{
    message_kind::ask_account,     message_kind::submit,        message_kind::ask_request,
    message_kind::ask_entries,     message_kind::ask_statement, message_kind::vouch,
    message_kind::account_report,  message_kind::promise,       message_kind::refusal,
    message_kind::request_report,  message_kind::entry_run,     message_kind::head_news,
    message_kind::statement_report};
static_assert(kinds.size() == std::variant_size_v<decltype(message::body)>);

void write_block(byte_writer& w, std::span<const std::byte> bytes) {
  w.number(static_cast<std::uint32_t>(bytes.size()));
  w.bytes(bytes.data(), bytes.size());
}

std::string printable(std::string_view text) {
  std::string clean{text.substr(0, limits::error_text_bytes_max)};
  std::replace_if(
      clean.begin(), clean.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return clean;
}

struct body_writer {
  byte_writer& w;

  void operator()(const ask_account& m) const { w.write(m.who); }
  void operator()(const submit& m) const {
    write_block(w, m.entry);
    write_block(w, m.evidence);
  }
  void operator()(const ask_request& m) const { w.write(m.request); }
  void operator()(const ask_entries& m) const { w.number(m.first); }
  void operator()(const account_report& m) const {
    w.write(m.who);
    write_block(w, m.genesis);
    write_block(w, to_bytes(m.head));
    for (const std::uint64_t n : {m.free, m.pending, m.stake, m.leaving, m.earned, m.nonce,
                                  m.reputation_ppm, m.influence}) {
      w.number(n);
    }
    w.number(static_cast<std::uint8_t>(m.admitted ? 1 : 0));
    w.number(static_cast<std::uint32_t>(m.ejected.size()));
    for (const node_id& node : m.ejected) {
      w.write(node);
    }
  }
  void operator()(const promise& m) const {
    w.number(m.time);
    write_block(w, to_bytes(m.entry));
  }
  void operator()(const refusal& m) const {
    w.number(static_cast<std::uint8_t>(m.reason.code));
    const std::string text = printable(m.reason.message);
    write_block(w, std::as_bytes(std::span{text}));
  }
  void operator()(const request_report& m) const {
    w.write(m.request);
    w.number(static_cast<std::uint8_t>((m.known ? 1U : 0U) | (m.open ? 2U : 0U) |
                                       (m.prompt_accounted ? 4U : 0U)));
    w.number(m.windows);
    for (const std::uint64_t n :
         {m.accounted, m.prompt, m.reserved, m.accrued, m.held, m.expires}) {
      w.number(n);
    }
    w.write(m.scheduler);
  }
  void operator()(const entry_run& m) const {
    w.number(m.first);
    write_block(w, to_bytes(m.head));
    w.number(static_cast<std::uint32_t>(m.entries.size()));
    for (const std::vector<std::byte>& entry : m.entries) {
      write_block(w, entry);
    }
  }
  void operator()(const head_news& m) const { write_block(w, to_bytes(m.head)); }
  void operator()(const ask_statement& m) const {
    w.write(m.who);
    w.number(m.from.entry);
    w.number(m.from.skip);
    w.number(static_cast<std::uint8_t>(m.from.newest ? 1 : 0));
  }
  void operator()(const vouch& m) const {
    w.write(m.what.request);
    w.number(m.what.window);
    w.write(m.what.guilty);
    w.write(m.what.finder);
    w.write(m.what.evidence);
    w.write(m.what.verdicts.front().verifier);
    w.write(m.what.verdicts.front().proof);
  }
  void operator()(const statement_report& m) const {
    w.write(m.who);
    w.number(static_cast<std::uint8_t>(m.more ? 1 : 0));
    w.number(static_cast<std::uint32_t>(m.lines.size()));
    for (const statement_line& l : m.lines) {
      write_line(w, l);
    }
    w.number(static_cast<std::uint32_t>(m.payers.size()));
    for (const statement_report::payer& p : m.payers) {
      w.write(p.request);
      w.write(p.node);
    }
  }
};

/// Bytes behind their length, which is compared with `most` and with what is there.
result<std::span<const std::byte>> read_block(byte_reader& r, std::string_view what,
                                              std::size_t most) {
  const std::size_t size = r.number<std::uint32_t>();
  if (size > most) {
    return fail(errc::over_limit, "{} of {} bytes; at most {} are allowed", what, size, most);
  }
  if (size > r.rest().size()) {
    return fail(errc::malformed, "{} of {} bytes, of which {} are there", what, size,
                r.rest().size());
  }
  const std::span<const std::byte> bytes = r.rest().first(size);
  r.skip(size);
  return bytes;
}

result<std::vector<std::byte>> copy_block(byte_reader& r, std::string_view what, std::size_t most) {
  OVIR_ASSIGN(const std::span<const std::byte> bytes, read_block(r, what, most));
  return std::vector<std::byte>{bytes.begin(), bytes.end()};
}

constexpr std::size_t proof_bytes_max = 8U << 10U;

result<signed_head> read_head(byte_reader& r) {
  OVIR_ASSIGN(const std::span<const std::byte> bytes, read_block(r, "a head", proof_bytes_max));
  return signed_head_from(bytes);
}

result<message> with(std::uint64_t id, decltype(message::body) body) {
  return message{id, std::move(body)};
}

result<message> read_submit(byte_reader& r, std::uint64_t id) {
  submit m;
  OVIR_ASSIGN(m.entry, copy_block(r, "a command", limits::ledger_entry_bytes_max));
  OVIR_ASSIGN(m.evidence, copy_block(r, "evidence", limits::credit_evidence_bytes_max));
  return with(id, std::move(m));
}

result<message> read_account(byte_reader& r, std::uint64_t id) {
  account_report m;
  r.read(m.who);
  OVIR_ASSIGN(m.genesis, copy_block(r, "a genesis entry", limits::ledger_entry_bytes_max));
  OVIR_ASSIGN(m.head, read_head(r));
  for (std::uint64_t* n : {&m.free, &m.pending, &m.stake, &m.leaving, &m.earned, &m.nonce,
                           &m.reputation_ppm, &m.influence}) {
    *n = r.number<std::uint64_t>();
  }
  const auto admitted = r.number<std::uint8_t>();
  if (admitted > 1) {
    return fail(errc::malformed, "an account is admitted or not: 0 or 1, not {}", admitted);
  }
  m.admitted = admitted == 1;
  const std::size_t count = r.number<std::uint32_t>();
  if (count > limits::credit_ejected_max) {
    return fail(errc::over_limit, "{} convicted nodes; at most {} are told", count,
                limits::credit_ejected_max);
  }
  if (count * node_id::size > r.rest().size()) {
    return fail(errc::malformed, "{} convicted nodes, which are not all there", count);
  }
  m.ejected.resize(count);
  for (node_id& node : m.ejected) {
    r.read(node);
  }
  return with(id, std::move(m));
}

result<message> read_promise(byte_reader& r, std::uint64_t id) {
  const auto time = r.number<std::uint64_t>();
  OVIR_ASSIGN(const std::span<const std::byte> bytes, read_block(r, "a promise", proof_bytes_max));
  OVIR_ASSIGN(acknowledgement entry, acknowledgement_from(bytes));
  return with(id, promise{time, std::move(entry)});
}

result<message> read_refusal(byte_reader& r, std::uint64_t id) {
  const auto code = static_cast<errc>(r.number<std::uint8_t>());
  if (to_string(code) == "unknown") {
    return fail(errc::unsupported, "a refusal with the code {}, which this version does not know",
                static_cast<unsigned>(code));
  }
  OVIR_ASSIGN(const std::span<const std::byte> bytes,
              read_block(r, "a refusal's sentence", limits::error_text_bytes_max));
  std::string text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  if (printable(text) != text) {
    return fail(errc::malformed, "a refusal's sentence is not printable ASCII");
  }
  return with(id, refusal{{code, std::move(text)}});
}

result<message> read_request(byte_reader& r, std::uint64_t id) {
  request_report m;
  r.read(m.request);
  const auto flags = r.number<std::uint8_t>();
  if (flags > 7) {
    return fail(errc::malformed, "a request's flags are {}; at most 7", flags);
  }
  m.known = (flags & 1U) != 0;
  m.open = (flags & 2U) != 0;
  m.prompt_accounted = (flags & 4U) != 0;
  m.windows = r.number<std::uint32_t>();
  for (std::uint64_t* n : {&m.accounted, &m.prompt, &m.reserved, &m.accrued, &m.held, &m.expires}) {
    *n = r.number<std::uint64_t>();
  }
  r.read(m.scheduler);
  return with(id, m);
}

result<message> read_entries(byte_reader& r, std::uint64_t id) {
  entry_run m;
  m.first = r.number<std::uint64_t>();
  OVIR_ASSIGN(m.head, read_head(r));
  const std::size_t count = r.number<std::uint32_t>();
  if (count > limits::credit_entries_max) {
    return fail(errc::over_limit, "{} entries in one message; at most {} are allowed", count,
                limits::credit_entries_max);
  }
  for (std::size_t i = 0; i < count && r.sound(); ++i) { // each entry takes bytes: no reserving
    OVIR_ASSIGN(std::vector<std::byte> entry,
                copy_block(r, "an entry", limits::ledger_entry_bytes_max));
    m.entries.push_back(std::move(entry));
  }
  return with(id, std::move(m));
}

result<bool> read_yes(byte_reader& r, std::string_view what) {
  const auto value = r.number<std::uint8_t>();
  return value <= 1 ? result<bool>{value == 1}
                    : fail(errc::malformed, "{} is {}; it is 0 or 1", what, value);
}

result<message> read_ask_statement(byte_reader& r, std::uint64_t id) {
  ask_statement m;
  r.read(m.who);
  m.from.entry = r.number<std::uint64_t>();
  m.from.skip = r.number<std::uint32_t>();
  OVIR_ASSIGN(m.from.newest, read_yes(r, "whether the newest are asked for"));
  return with(id, m);
}

message read_vouch(byte_reader& r, std::uint64_t id) {
  vouch m;
  r.read(m.what.request);
  m.what.window = r.number<std::uint32_t>();
  r.read(m.what.guilty);
  r.read(m.what.finder);
  r.read(m.what.evidence);
  m.what.verdicts.resize(1);
  r.read(m.what.verdicts.front().verifier);
  r.read(m.what.verdicts.front().proof);
  return {id, std::move(m)};
}

result<message> read_statement(byte_reader& r, std::uint64_t id) {
  statement_report m;
  r.read(m.who);
  OVIR_ASSIGN(m.more, read_yes(r, "whether there are more"));
  const auto count_of = [&r](std::string_view what) -> result<std::size_t> {
    const std::size_t count = r.number<std::uint32_t>();
    return count <= limits::statement_lines_max
               ? result<std::size_t>{count}
               : fail(errc::over_limit, "{} {} in one message; at most {} are allowed", count, what,
                      limits::statement_lines_max);
  };
  OVIR_ASSIGN(const std::size_t lines, count_of("movements"));
  for (std::size_t i = 0; i < lines && r.sound(); ++i) { // each takes bytes: no reserving
    statement_line l;
    if (!read_line(r, m.who, l)) {
      return fail(errc::malformed, "a statement has a movement that is none of its account");
    }
    m.lines.push_back(l);
  }
  OVIR_ASSIGN(const std::size_t payers, count_of("payers"));
  for (std::size_t i = 0; i < payers && r.sound(); ++i) {
    statement_report::payer p;
    r.read(p.request);
    r.read(p.node);
    if (!m.payers.empty() && !(m.payers.back().request < p.request)) {
      return fail(errc::malformed, "the requests of a statement are not in order");
    }
    m.payers.push_back(p);
  }
  return with(id, std::move(m));
}

result<message> read_body(byte_reader& r, message_kind kind, std::uint64_t id) {
  switch (kind) {
  case message_kind::ask_account: {
    ask_account m;
    r.read(m.who);
    return with(id, m);
  }
  case message_kind::submit: return read_submit(r, id);
  case message_kind::ask_request: {
    ask_request m;
    r.read(m.request);
    return with(id, m);
  }
  case message_kind::ask_entries: return with(id, ask_entries{r.number<std::uint64_t>()});
  case message_kind::ask_statement: return read_ask_statement(r, id);
  case message_kind::vouch: return read_vouch(r, id);
  case message_kind::account_report: return read_account(r, id);
  case message_kind::promise: return read_promise(r, id);
  case message_kind::refusal: return read_refusal(r, id);
  case message_kind::request_report: return read_request(r, id);
  case message_kind::entry_run: return read_entries(r, id);
  case message_kind::head_news: {
    OVIR_ASSIGN(const signed_head head, read_head(r));
    return with(id, head_news{head});
  }
  case message_kind::statement_report: return read_statement(r, id);
  }
  return fail(errc::unsupported, "a message of kind {}, which this version does not know",
              static_cast<unsigned>(kind));
}

} // namespace

bool operator==(const vouch& a, const vouch& b) {
  const verdict& x = a.what.verdicts.front();
  const verdict& y = b.what.verdicts.front();
  return a.what.request == b.what.request && a.what.window == b.what.window &&
         a.what.guilty == b.what.guilty && a.what.finder == b.what.finder &&
         a.what.evidence == b.what.evidence && x.verifier == y.verifier && x.proof == y.proof;
}

result<void> check_promise(const promise& p, std::span<const std::byte> entry, const digest& ledger,
                           const node_id& keeper) {
  std::vector<std::byte> timed{entry.begin(), entry.end()};
  OVIR_CHECK(timed.size() >= sizeof(p.time), timed.size());
  std::memcpy(timed.data(), &p.time, sizeof(p.time));
  const signed_head& head = p.entry.head;
  if (head.head.ledger != ledger || head.keeper != keeper || !signed_by_its_keeper(head)) {
    return fail(errc::digest_mismatch, "the promise is not signed by this ledger's keeper, {}",
                short_name(keeper));
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
  std::visit(body_writer{w}, m.body);
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
  OVIR_ASSIGN(message m, read_body(r, kind, id));
  if (!r.finished()) {
    return fail(errc::malformed, "a message about credits of {} bytes; some are {}", bytes.size(),
                r.sound() ? "left over" : "missing");
  }
  return m;
}

} // namespace ovir::ledger
