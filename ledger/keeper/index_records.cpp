#include "ledger/keeper/index_records.hpp"

#include "ledger/rules/state_bytes.hpp"
#include "messages/wire/fields.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

constexpr std::uint32_t version = 2;
constexpr std::size_t number_bytes = 8;

enum line_flag : std::uint8_t { is_out = 1, names_other = 2, names_request = 4, names_window = 8 };

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span{text});
}
std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Big-endian, so that keys are in the order of numbers.
void append_number(std::string& key, std::uint64_t number) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    key += static_cast<char>(number >> static_cast<unsigned>(shift));
  }
}

template <class Name>
std::string named_key(index_table table, const Name& name) {
  std::string key{static_cast<char>(table)};
  key.append(reinterpret_cast<const char*>(name.data()), name.size());
  return key;
}

std::uint8_t flags_of(const statement_line& l) {
  const account_ref& other = l.out ? l.what.to : l.what.from;
  return static_cast<std::uint8_t>((l.out ? is_out : 0) | (other.of != digest{} ? names_other : 0) |
                                   (l.what.request != digest{} ? names_request : 0) |
                                   (l.what.window != 0 ? names_window : 0));
}

} // namespace

void write_line(byte_writer& w, const statement_line& l) {
  const account_ref& own = l.out ? l.what.from : l.what.to;
  const account_ref& other = l.out ? l.what.to : l.what.from;
  const std::uint8_t flags = flags_of(l);
  w.number(l.index);
  w.number(l.time);
  w.number(flags);
  for (const std::uint8_t n :
       {static_cast<std::uint8_t>(l.what.kind), static_cast<std::uint8_t>(own.kind),
        static_cast<std::uint8_t>(other.kind)}) {
    w.number(n);
  }
  w.number(l.what.amount);
  if ((flags & names_other) != 0) {
    w.write(other.of);
  }
  if ((flags & names_request) != 0) {
    w.write(l.what.request);
  }
  if ((flags & names_window) != 0) {
    w.number(l.what.window);
  }
}

bool read_line(byte_reader& r, const node_id& account, statement_line& l) {
  l.index = r.number<std::uint64_t>();
  l.time = r.number<std::uint64_t>();
  const auto flags = r.number<std::uint8_t>();
  l.what.kind = static_cast<posting_kind>(r.number<std::uint8_t>());
  account_ref own = purse_of(static_cast<purse>(r.number<std::uint8_t>()), account);
  account_ref other;
  other.kind = static_cast<purse>(r.number<std::uint8_t>());
  l.what.amount = r.number<micro_credits>();
  if ((flags & names_other) != 0) {
    r.read(other.of);
  }
  if ((flags & names_request) != 0) {
    r.read(l.what.request);
  }
  if ((flags & names_window) != 0) {
    l.what.window = r.number<std::uint32_t>();
  }
  l.out = (flags & is_out) != 0;
  l.what.from = l.out ? own : other;
  l.what.to = l.out ? other : own;
  return flags == flags_of(l) && own.kind >= purse::free && own.kind <= purse::stake &&
         other.kind >= purse::mint && other.kind <= purse::burn &&
         l.what.kind >= posting_kind::mint && l.what.kind <= posting_kind::carriage;
}

template <class Io, of_type<index_summary> T>
void fields(Io& io, T& s) {
  io(s.ledger, s.time, s.sums.minted, s.sums.assurance, s.sums.treasury, s.sums.burnt, s.size,
     s.end, s.last_batch, s.chain);
  // One for each bit of a number is more than enough.
  io.template list<std::uint8_t>(s.peaks, "peaks", digest::size);
  io(s.accounts, s.requests, s.vouchers);
}

std::string index_key(index_table table) { return std::string{static_cast<char>(table)}; }

std::string index_key(index_table table, std::uint64_t number) {
  std::string key = index_key(table);
  append_number(key, number);
  return key;
}

std::string index_key(const node_id& account) {
  return named_key(index_table::account, account.key);
}

std::string index_key(const node_id& account, std::uint64_t history) {
  std::string key = named_key(index_table::history, account.key);
  append_number(key, history);
  return key;
}

std::string index_key(const escrow_id& request, std::uint64_t slice) {
  std::string key = named_key(index_table::request, request.bytes);
  append_number(key, slice);
  return key;
}

std::string voucher_key(const digest& voucher) {
  return named_key(index_table::voucher, voucher.bytes);
}

std::optional<std::uint64_t> number_in(std::string_view key) {
  if (key.size() < 1 + number_bytes) {
    return std::nullopt;
  }
  std::uint64_t number = 0;
  for (const char c : key.substr(key.size() - number_bytes)) {
    number = number << 8U | static_cast<std::uint8_t>(c);
  }
  return number;
}

std::optional<digest> name_in(std::string_view key) {
  if (key.size() < 1 + digest::size) {
    return std::nullopt;
  }
  digest name;
  std::memcpy(name.bytes.data(), key.data() + 1, digest::size);
  return name;
}

std::string to_record(const index_summary& s) {
  std::vector<std::byte> out;
  byte_writer w{out};
  field_writer{w}(version, s);
  return text_of(out);
}

std::optional<index_summary> index_summary_from(std::string_view record) {
  byte_reader r{bytes_of(record)};
  const auto found = r.number<std::uint32_t>();
  index_summary s;
  field_reader{r}(s);
  return found == version && r.finished() ? std::optional{std::move(s)} : std::nullopt;
}

std::string to_record(const index_account& a) {
  std::vector<std::byte> out;
  byte_writer w{out};
  w.number(a.history);
  write_account(w, a.what);
  return text_of(out);
}

std::optional<index_account> index_account_from(std::string_view record) {
  byte_reader r{bytes_of(record)};
  index_account a;
  a.history = r.number<std::uint64_t>();
  a.what = read_account(r);
  return r.finished() ? std::optional{std::move(a)} : std::nullopt;
}

std::string to_record(const voucher_record& v) {
  std::vector<std::byte> out;
  byte_writer w{out};
  write_voucher(w, v);
  return text_of(out);
}

std::optional<voucher_record> index_voucher_from(std::string_view record) {
  byte_reader r{bytes_of(record)};
  voucher_record v;
  return read_voucher(r, v) && r.finished() ? std::optional{std::move(v)} : std::nullopt;
}

std::string to_record(const std::vector<id_table::record>& ids) {
  std::vector<std::byte> out;
  byte_writer w{out};
  for (const id_table::record& x : ids) {
    w.write(x.id);
    w.number(x.content);
  }
  return text_of(out);
}

std::optional<std::vector<id_table::record>> ids_from(std::string_view record) {
  constexpr std::size_t id_bytes = digest::size + 8;
  if (record.empty() || record.size() % id_bytes != 0 ||
      record.size() / id_bytes > ids_per_record) {
    return std::nullopt;
  }
  byte_reader r{bytes_of(record)};
  std::vector<id_table::record> ids(record.size() / id_bytes);
  for (id_table::record& x : ids) {
    r.read(x.id);
    x.content = r.number<std::uint64_t>();
  }
  return ids;
}

std::string history_record(std::span<const statement_line>& lines) {
  constexpr std::size_t line_bytes_max = 128;
  std::vector<std::byte> out;
  out.reserve(slice_bytes + line_bytes_max);
  byte_writer w{out};
  while (!lines.empty()) {
    const std::size_t before = out.size();
    write_line(w, lines.front());
    if (out.size() > slice_bytes) {
      out.resize(before);
      break;
    }
    lines = lines.subspan(1);
  }
  return text_of(out);
}

std::optional<std::vector<statement_line>> history_from(const node_id& account,
                                                        std::string_view record) {
  byte_reader r{bytes_of(record)};
  std::vector<statement_line> lines;
  while (!r.rest().empty()) {
    statement_line l;
    if (!read_line(r, account, l) || !r.sound()) {
      return std::nullopt;
    }
    lines.push_back(l);
  }
  return lines;
}

} // namespace ovir::ledger
