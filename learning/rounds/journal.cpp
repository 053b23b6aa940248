#include "learning/rounds/journal.hpp"

#include "messages/wire/bytes.hpp"

#include <array>

namespace ovir::learning {

namespace {

constexpr std::size_t journal_head_bytes = 4 + digest::size; // length, digest of the bytes

digest name_of_entry(std::uint64_t at, std::span<const std::byte> bytes) {
  return hasher{"ovir/rounds-1/journal"}.update_u64(at).update(bytes).finish();
}

} // namespace

result<round_journal> round_journal::open(std::unique_ptr<durable_file> file) {
  round_journal out{std::move(file)};
  OVIR_ASSIGN(const std::uint64_t size, out.file_->size());
  while (out.end_ < size) {
    std::array<std::byte, journal_head_bytes> head{};
    OVIR_ASSIGN(const std::size_t got, out.file_->read_at(out.end_, head));
    byte_reader r{std::span{head}.first(got)};
    const auto length = r.number<std::uint32_t>();
    digest wanted;
    r.read(wanted);
    const std::uint64_t behind = out.end_ + journal_head_bytes + length;
    if (!r.finished() || behind > size) {
      break; // torn, at the end
    }
    if (length > limits::round_letter_bytes_max ||
        out.entries_.size() == limits::round_journal_entries_max) {
      return fail(errc::over_limit, "the journal of the round has an entry too many or too large");
    }
    std::vector<std::byte> bytes(length);
    OVIR_ASSIGN(const std::size_t read, out.file_->read_at(out.end_ + journal_head_bytes, bytes));
    if (read != length || name_of_entry(out.end_, bytes) != wanted) {
      if (behind == size) {
        break; // its end was never written
      }
      return fail(errc::malformed,
                  "the journal of the round is damaged at byte {}; remove it and "
                  "begin another round",
                  out.end_);
    }
    out.entries_.push_back({std::move(bytes)});
    out.end_ = behind;
  }
  return out;
}

result<void> round_journal::append(std::span<const std::byte> entry) {
  std::vector<std::byte> bytes;
  byte_writer w{bytes};
  w.number(static_cast<std::uint32_t>(entry.size()));
  w.write(name_of_entry(end_, entry));
  w.bytes(entry.data(), entry.size());
  OVIR_TRY(file_->truncate(end_)); // what was torn, if anything
  OVIR_TRY(file_->write_at(end_, bytes));
  OVIR_TRY(file_->sync());
  end_ += bytes.size();
  return {};
}

} // namespace ovir::learning
