#include "ledger/raft/journal.hpp"

#include "ledger/log/log_format.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/limits/raft.hpp"
#include "messages/wire/bytes.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace ovir::raft {

namespace {

enum class record_kind : std::uint8_t {
  head = 1,  ///< of the file
  part = 2,  ///< more bytes of a snapshot or entry
  vote = 3,  ///< term and vote
  entry = 4, ///< behind the last one
  cut = 5,   ///< entries from here on are gone
  reach = 6, ///< what must be reached before a vote
  ready = 7, ///< the file is whole
};

constexpr std::uint64_t journal_step_bytes = 1U << 20U;
constexpr std::size_t record_bytes_max = limits::ledger_entry_bytes_max;
constexpr std::size_t head_room = 128; ///< more than any record has beside bytes of an owner

error malformed(std::string_view what) {
  return fail(errc::malformed,
              "the journal of this keeper is malformed: {}; remove it, and the keeper gets "
              "everything from the others",
              what);
}

/// `bytes` cut into what fits a record behind `first`, which is the first record's beginning.
std::vector<std::vector<std::byte>> in_parts(std::vector<std::byte> first,
                                             std::span<const std::byte> bytes) {
  std::vector<std::vector<std::byte>> records;
  records.push_back(std::move(first));
  for (;;) {
    const std::size_t room = record_bytes_max - head_room;
    const std::size_t size = std::min(room, bytes.size());
    byte_writer{records.back()}.bytes(bytes.data(), size);
    bytes = bytes.subspan(size);
    if (bytes.empty()) {
      return records;
    }
    records.emplace_back(1, static_cast<std::byte>(record_kind::part));
  }
}

std::vector<std::byte> begin_record(record_kind kind) { return {static_cast<std::byte>(kind)}; }

/// Reads the records of one file in order.
class journal_reader {
public:
  explicit journal_reader(const group& of) : group_(of) {}

  result<void> take(std::span<const std::byte> record) {
    byte_reader r{record};
    const auto kind = static_cast<record_kind>(r.number<std::uint8_t>());
    if (kind != record_kind::part) {
      wanted_ = 0; // what was not finished was never acknowledged
      bytes_.clear();
    }
    if (!headed_ && kind != record_kind::head) {
      return malformed("its first record is no head");
    }
    switch (kind) {
    case record_kind::head: return take_head(r);
    case record_kind::part: return take_bytes(r);
    case record_kind::vote: return take_vote(r);
    case record_kind::entry: return take_entry(r);
    case record_kind::cut: return take_cut(r);
    case record_kind::reach: return take_reach(r);
    case record_kind::ready: whole_ = true; return finished(r);
    }
    return malformed("a record of an unknown kind");
  }
  [[nodiscard]] bool whole() const noexcept { return whole_; }
  [[nodiscard]] std::size_t entry_bytes() const noexcept { return held_; }
  journal_state& state() noexcept { return state_; }

private:
  static result<void> finished(const byte_reader& r) {
    return r.finished() ? result<void>{} : malformed("a record has too many or too few bytes");
  }

  result<void> take_head(byte_reader& r) {
    group found;
    r.read(found.name);
    found.self = r.number<std::uint8_t>();
    found.servers = r.number<std::uint8_t>();
    state_.first = r.number<std::uint64_t>();
    snapshot before;
    before.index = r.number<std::uint64_t>();
    before.term = r.number<std::uint64_t>();
    const std::size_t size = r.number<std::uint32_t>();
    if (headed_ || !r.sound() || size > limits::raft_snapshot_bytes_max || state_.first == 0 ||
        state_.first > before.index + 1 || before.index > limits::raft_term_max) {
      return malformed("its head is not sound");
    }
    if (found != group_) {
      return fail(errc::invalid_argument,
                  "the journal is of another ledger or keeper; give each keeper its own state "
                  "folder");
    }
    headed_ = true;
    if (before.index == 0) {
      return finished(r);
    }
    state_.before = std::move(before);
    wanted_ = size;
    into_snapshot_ = true;
    return take_bytes(r);
  }
  result<void> take_bytes(byte_reader& r) {
    if (bytes_.size() + r.rest().size() > wanted_) {
      return malformed("a record has more bytes than it names");
    }
    bytes_.insert(bytes_.end(), r.rest().begin(), r.rest().end());
    if (bytes_.size() < wanted_) {
      return {};
    }
    if (into_snapshot_) {
      state_.before->bytes = std::exchange(bytes_, {});
    } else {
      held_ += bytes_.size();
      next_.bytes = std::exchange(bytes_, {});
      state_.entries.push_back(std::exchange(next_, {}));
    }
    wanted_ = 0;
    return {};
  }
  result<void> take_vote(byte_reader& r) {
    state_.term = r.number<std::uint64_t>();
    state_.vote = r.number<std::uint8_t>();
    if (state_.term == 0 || state_.term > limits::raft_term_max || state_.vote > group_.servers) {
      return malformed("a term or vote out of range");
    }
    return finished(r);
  }
  result<void> take_entry(byte_reader& r) {
    next_.term = r.number<std::uint64_t>();
    next_.kind = static_cast<entry_kind>(r.number<std::uint8_t>());
    const std::size_t size = r.number<std::uint32_t>();
    if (!r.sound() || next_.term == 0 || next_.term > limits::raft_term_max ||
        next_.kind < entry_kind::command || next_.kind > entry_kind::servers ||
        size > limits::raft_entry_bytes_max ||
        state_.entries.size() >= limits::raft_journal_entries_max ||
        held_ + size > limits::raft_journal_bytes_max) {
      return malformed("an entry out of range");
    }
    wanted_ = size;
    into_snapshot_ = false;
    return take_bytes(r);
  }
  result<void> take_cut(byte_reader& r) {
    const auto index = r.number<std::uint64_t>();
    const std::uint64_t kept = state_.before ? state_.before->index : 0;
    if (!r.finished() || index <= kept || index < state_.first ||
        index > state_.first + state_.entries.size()) {
      return malformed("a cut out of range");
    }
    while (state_.first + state_.entries.size() > index) {
      held_ -= state_.entries.back().bytes.size();
      state_.entries.pop_back();
    }
    return {};
  }
  result<void> take_reach(byte_reader& r) {
    place to;
    to.term = r.number<std::uint64_t>();
    to.index = r.number<std::uint64_t>();
    state_.reach = to == place{} ? std::nullopt : std::optional{to};
    return finished(r);
  }

  group group_;
  journal_state state_;
  std::size_t held_{0};
  std::vector<std::byte> bytes_; ///< of what is not finished
  std::size_t wanted_{0};
  bool into_snapshot_{false};
  entry next_;
  bool headed_{false};
  bool whole_{false};
};

/// Whether a file was made and nothing written in it that lasted.
result<bool> is_blank(const durable_file& file) {
  std::array<std::byte, ledger::sector_bytes> sector{};
  OVIR_ASSIGN(const std::size_t got, file.read_at(0, sector));
  return ledger::all_zero(std::span{sector}.first(got));
}

} // namespace

place journal::last_place() const {
  if (!state_.entries.empty()) {
    return {state_.entries.back().term, last_index()};
  }
  return state_.before ? place{state_.before->term, state_.before->index} : place{};
}

std::uint64_t journal::term_at(std::uint64_t index) const {
  if (index >= state_.first && index <= last_index()) {
    return at(index).term;
  }
  return state_.before && index == state_.before->index ? state_.before->term : 0;
}

const entry& journal::at(std::uint64_t index) const {
  OVIR_CHECK(index >= state_.first && index <= last_index(), index);
  return state_.entries[static_cast<std::size_t>(index - state_.first)];
}

result<journal> journal::create(journal_files& files, const group& of,
                                const journal_state& beginning) {
  OVIR_CHECK(of.self > 0 && of.self <= of.servers && of.servers <= limits::raft_servers_max);
  auto there = read(files, of);
  OVIR_TRY(there);
  if (*there) {
    return fail(errc::invalid_argument, "there is a journal of this keeper already; keep it");
  }
  journal made{files, of};
  made.state_ = beginning;
  OVIR_TRY(made.begin_file(1));
  return made;
}

result<journal> journal::open(journal_files& files, const group& of) {
  auto found = read(files, of);
  OVIR_TRY(found);
  if (!*found) {
    return fail(errc::not_found, "there is no journal of this keeper");
  }
  return *std::move(*found);
}

/// The newest whole file. Those that were begun behind it and older ones are removed.
result<std::optional<journal>> journal::read(journal_files& files, const group& of) {
  OVIR_ASSIGN(std::vector<std::uint64_t> numbers, files.list());
  std::optional<journal> found;
  for (auto n = numbers.rbegin(); n != numbers.rend(); ++n) {
    if (found) {
      OVIR_TRY(files.remove(*n));
      continue;
    }
    OVIR_ASSIGN(std::unique_ptr<durable_file> file, files.open(*n));
    OVIR_ASSIGN(const bool blank, is_blank(*file));
    if (!blank) {
      journal_reader reader{of};
      ledger::log_report report;
      OVIR_ASSIGN(
          ledger::entry_log log,
          ledger::entry_log::open(
              *file, {.step_bytes = journal_step_bytes},
              [&reader](std::uint64_t, std::span<const std::byte> r) { return reader.take(r); },
              report));
      if (reader.whole()) {
        found = journal{files, of};
        found->state_ = std::move(reader.state());
        found->entry_bytes_ = reader.entry_bytes();
        found->number_ = *n;
        found->file_ = std::move(file);
        found->log_ = std::move(log);
        continue;
      }
    }
    file.reset();
    OVIR_TRY(files.remove(*n));
  }
  return found;
}

result<void> journal::begin_file(std::uint64_t number) {
  OVIR_ASSIGN(std::unique_ptr<durable_file> file, files_->create(number));
  OVIR_ASSIGN(ledger::entry_log log,
              ledger::entry_log::create(*file, {.step_bytes = journal_step_bytes}));
  log_ = std::move(log); // before the file that the last one refers to is gone
  file_ = std::move(file);
  const std::uint64_t old = std::exchange(number_, number);

  std::vector<std::byte> head = begin_record(record_kind::head);
  byte_writer w{head};
  w.write(group_.name);
  w.number(group_.self);
  w.number(group_.servers);
  w.number(state_.first);
  w.number(state_.before ? state_.before->index : std::uint64_t{0});
  w.number(state_.before ? state_.before->term : std::uint64_t{0});
  const std::span<const std::byte> bytes = state_.before
                                               ? std::span<const std::byte>{state_.before->bytes}
                                               : std::span<const std::byte>{};
  w.number(static_cast<std::uint32_t>(bytes.size()));
  for (const std::vector<std::byte>& record : in_parts(std::move(head), bytes)) {
    stage(record);
  }
  stage_vote();
  if (state_.reach) {
    std::vector<std::byte> record = begin_record(record_kind::reach);
    byte_writer reach{record};
    reach.number(state_.reach->term);
    reach.number(state_.reach->index);
    stage(record);
  }
  entry_bytes_ = 0;
  for (const entry& e : state_.entries) {
    stage_entry(e);
    entry_bytes_ += e.bytes.size();
  }
  stage(begin_record(record_kind::ready));
  OVIR_TRY(flush());
  return old == 0 ? result<void>{} : files_->remove(old);
}

void journal::stage(std::span<const std::byte> record) {
  if (disk_ && !log_->room_for(record.size())) {
    disk_ = log_->flush();
  }
  if (disk_) {
    log_->stage(record);
  }
}

void journal::stage_entry(const entry& e) {
  std::vector<std::byte> record = begin_record(record_kind::entry);
  byte_writer w{record};
  w.number(e.term);
  w.number(static_cast<std::uint8_t>(e.kind));
  w.number(static_cast<std::uint32_t>(e.bytes.size()));
  for (const std::vector<std::byte>& part : in_parts(std::move(record), e.bytes)) {
    stage(part);
  }
}

void journal::stage_vote() {
  std::vector<std::byte> record = begin_record(record_kind::vote);
  byte_writer w{record};
  w.number(state_.term);
  w.number(state_.vote);
  stage(record);
}

void journal::vote(std::uint64_t term, std::uint8_t server) {
  OVIR_CHECK(term >= state_.term && server <= group_.servers, term);
  state_.term = term;
  state_.vote = server;
  stage_vote();
}

void journal::append(entry next) {
  OVIR_CHECK(next.bytes.size() <= limits::raft_entry_bytes_max && next.term > 0, next.term);
  stage_entry(next);
  entry_bytes_ += next.bytes.size();
  state_.entries.push_back(std::move(next));
}

void journal::cut(std::uint64_t index) {
  OVIR_CHECK(index > (state_.before ? state_.before->index : 0) && index >= state_.first &&
                 index <= last_index() + 1,
             index);
  std::vector<std::byte> record = begin_record(record_kind::cut);
  byte_writer{record}.number(index);
  stage(record);
  while (!state_.entries.empty() && last_index() >= index) {
    entry_bytes_ -= state_.entries.back().bytes.size();
    state_.entries.pop_back();
  }
}

void journal::reached() {
  std::vector<std::byte> record = begin_record(record_kind::reach);
  byte_writer w{record};
  w.number(std::uint64_t{0});
  w.number(std::uint64_t{0});
  stage(record);
  state_.reach.reset();
}

result<void> journal::take(snapshot of, std::uint64_t kept) {
  OVIR_CHECK(term_at(of.index) == of.term && of.bytes.size() <= limits::raft_snapshot_bytes_max,
             of.index);
  const std::uint64_t first = of.index + 1 - std::min(kept, of.index);
  if (first > state_.first) {
    const auto gone = std::min<std::uint64_t>(first - state_.first, state_.entries.size());
    state_.entries.erase(state_.entries.begin(),
                         state_.entries.begin() + static_cast<std::ptrdiff_t>(gone));
    state_.first = first;
  }
  state_.before = std::move(of);
  disk_ = disk_ ? begin_file(number_ + 1) : disk_;
  return disk_;
}

result<void> journal::replace(snapshot of) {
  OVIR_CHECK(of.index > 0 && of.term > 0 && of.bytes.size() <= limits::raft_snapshot_bytes_max,
             of.index);
  state_.entries.clear();
  state_.first = of.index + 1;
  state_.before = std::move(of);
  disk_ = disk_ ? begin_file(number_ + 1) : disk_;
  return disk_;
}

result<void> journal::flush() {
  if (disk_) {
    disk_ = log_->flush();
  }
  return disk_;
}

} // namespace ovir::raft
