#include "ledger/raft/letter.hpp"

#include "messages/limits/raft.hpp"
#include "messages/wire/fields.hpp"

#include <algorithm>
#include <utility>

// letter = tag:u8 version:u8 kind:u8 fields

namespace ovir::raft {

namespace {

constexpr std::uint8_t letter_tag = 0x72; // "r"
constexpr std::uint8_t letter_version = 1;

constexpr bool within_term(std::uint64_t term) { return term > 0 && term <= limits::raft_term_max; }
/// An entry's place and term, which are both 0 where there is none.
constexpr bool is_place(std::uint64_t index, std::uint64_t term, std::uint64_t most) {
  return index <= limits::raft_term_max && term <= most && (index == 0) == (term == 0);
}

} // namespace

/// What travels behind tag and version.
struct letter_body {
  letter content;
};

template <class Io, of_type<entry> T>
void fields(Io& io, T& e) {
  io(e.term, e.kind);
  io.block(e.bytes, "an entry", limits::raft_entry_bytes_max);
  if constexpr (Io::reads) {
    io.expect(e.kind >= entry_kind::command && e.kind <= entry_kind::servers,
              "an entry of an unknown kind");
    io.expect((e.kind == entry_kind::command) != e.bytes.empty(),
              "a command without bytes, or another entry with some");
  }
}
template <class Io, of_type<append_entries> T>
void fields(Io& io, T& m) {
  io(m.term, m.before, m.before_term, m.commit);
  io.template list<std::uint16_t>(m.entries, "entries", limits::raft_letter_entries_max);
  if constexpr (Io::reads) {
    io.expect(within_term(m.term), "a term out of range");
    io.expect(is_place(m.before, m.before_term, m.term) && m.commit <= limits::raft_term_max,
              "an index or its term out of range");
    std::uint64_t least = std::max<std::uint64_t>(m.before_term, 1);
    std::uint64_t index = m.before;
    for (const entry& e : m.entries) {
      io.expect(e.term >= least && e.term <= m.term, "entries whose terms fall");
      least = e.term;
      io.expect((++index == 1) == (e.kind == entry_kind::servers),
                "the group is not entry 1, or another entry is one");
    }
  }
}
template <class Io, of_type<appended> T>
void fields(Io& io, T& m) {
  io(m.term, m.rejected, m.last);
  io.expect(within_term(m.term) && m.rejected <= limits::raft_term_max &&
                m.last <= limits::raft_term_max,
            "a term or index out of range");
}
template <class Io, of_type<vote_request> T>
void fields(Io& io, T& m) {
  io(m.term, m.last, m.last_term, m.before_term);
  io.expect(within_term(m.term) && is_place(m.last, m.last_term, m.term),
            "a term or index out of range");
}
template <class Io, of_type<vote_answer> T>
void fields(Io& io, T& m) {
  io(m.term, m.granted, m.before_term);
  io.expect(m.term <= limits::raft_term_max, "a term out of range");
}
template <class Io, of_type<snapshot> T>
void fields(Io& io, T& s) {
  io(s.index, s.term);
  io.block(s.bytes, "a snapshot", limits::raft_snapshot_bytes_max);
}
template <class Io, of_type<install_snapshot> T>
void fields(Io& io, T& m) {
  io(m.term, m.content);
  io.expect(within_term(m.term) && m.content.index > 0 &&
                is_place(m.content.index, m.content.term, m.term),
            "a term or index out of range");
}
template <class Io, of_type<ask_standing> T>
void fields(Io& io, T& m) {
  io(m.nonce);
}
template <class Io, of_type<standing> T>
void fields(Io& io, T& m) {
  io(m.nonce, m.term, m.last, m.last_term);
  io.expect(m.term <= limits::raft_term_max && is_place(m.last, m.last_term, m.term),
            "a term or index out of range");
}
template <class Io, of_type<letter_body> T>
void fields(Io& io, T& m) {
  io.one_of(m.content, "a letter");
}

std::vector<std::byte> to_bytes(const letter& of) {
  return tagged_bytes(letter_tag, letter_version, letter_body{of});
}

result<letter> letter_from(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::raft_letter_bytes_max) {
    return fail(errc::over_limit, "a letter of {} bytes; at most {} are allowed", bytes.size(),
                limits::raft_letter_bytes_max);
  }
  OVIR_ASSIGN(letter_body body,
              from_tagged<letter_body>(bytes, letter_tag, letter_version, "letter of a keeper"));
  return std::move(body.content);
}

void fit_letter(std::vector<entry>& entries) {
  std::size_t bytes = 0;
  std::size_t count = 0;
  for (const entry& e : entries) {
    bytes += e.bytes.size();
    if (count == limits::raft_letter_entries_max ||
        (count > 0 && bytes > limits::raft_letter_body_bytes_max)) {
      break;
    }
    ++count;
  }
  entries.resize(count);
}

} // namespace ovir::raft
