#include "ledger/log/codec.hpp"
#include "ledger/log/log.hpp"
#include "ledger/log/log_format.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

/// Reading a log: batch by batch, believing nothing before it checks.
namespace ovir::ledger {

namespace {

constexpr std::size_t read_step = 1U << 20U;

error damaged(std::uint64_t index, std::string_view what) {
  return fail(errc::digest_mismatch,
              "entry {} of the log is damaged ({}); restore the log from a follower, and keep this "
              "one as evidence",
              index, what);
}

/// Bytes at a place; what lies beyond the file's end reads as zeros.
result<void> read_padded(const durable_file& file, std::uint64_t offset, std::span<std::byte> out) {
  OVIR_ASSIGN(const std::size_t got, file.read_at(offset, out));
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(got), out.end(), std::byte{0});
  return {};
}

/// For reading from one place to another in steps of whole sectors.
std::size_t buffer_for(std::uint64_t from, std::uint64_t to) {
  const std::uint64_t wanted = to > from ? padded(to - from) : sector_bytes;
  return static_cast<std::size_t>(std::min<std::uint64_t>(wanted, read_step));
}

/// The offset behind the last byte at or after `from` that is not zero; nothing when all are.
result<std::optional<std::uint64_t>> end_of_nonzero(const durable_file& file, std::uint64_t from,
                                                    std::uint64_t size) {
  std::optional<std::uint64_t> end;
  std::vector<std::byte> buffer(buffer_for(from, size));
  for (std::uint64_t at = from; at < size; at += buffer.size()) {
    OVIR_TRY(read_padded(file, at, buffer));
    const auto last =
        std::find_if(buffer.rbegin(), buffer.rend(), [](std::byte b) { return b != std::byte{0}; });
    if (last != buffer.rend()) {
      end = at + static_cast<std::uint64_t>(buffer.rend() - last);
    }
  }
  return end;
}

/// Whether a sector between two places begins a batch: then what lies before it was no torn end.
result<bool> holds_batch(const durable_file& file, std::uint64_t from, std::uint64_t to) {
  std::vector<std::byte> buffer(buffer_for(from, to));
  for (std::uint64_t at = from; at < to; at += buffer.size()) {
    OVIR_TRY(read_padded(file, at, buffer));
    for (std::size_t s = 0; s < buffer.size() && at + s < to; s += sector_bytes) {
      if (batch_head_from(std::span{buffer}.subspan(s, batch_head_bytes))) {
        return true;
      }
    }
  }
  return false;
}

/// One entry of a batch that was read.
struct framed {
  std::span<const std::byte> bytes;
  std::span<const std::byte> check;
};

/// The entry at `at`, if its length is within what is left; moves `at` behind it.
std::optional<framed> next_frame(std::span<const std::byte> body, std::size_t& at) {
  byte_reader r{body.subspan(at)};
  const auto length = r.number<std::uint32_t>();
  if (!r.sound() || length > limits::ledger_entry_bytes_max ||
      r.rest().size() < length + check_bytes) {
    return std::nullopt;
  }
  const framed out{r.rest().first(length), r.rest().subspan(length, check_bytes)};
  at += entry_frame_bytes + length;
  return out;
}

} // namespace

/// A batch with its sectors, as they lie in the file.
struct entry_log::batch_in_file {
  batch_head head;
  std::vector<std::byte> sectors; ///< head, entries, padding

  [[nodiscard]] std::span<const std::byte> body() const {
    return std::span{sectors}.subspan(batch_head_bytes, head.bytes);
  }
  /// Some sector never reached the disk.
  [[nodiscard]] bool lacks_a_sector() const {
    for (std::size_t at = 0; at < sectors.size(); at += sector_bytes) {
      if (all_zero(std::span{sectors}.subspan(at, sector_bytes))) {
        return true;
      }
    }
    return false;
  }

  static result<batch_in_file> read(const durable_file& file, std::uint64_t offset,
                                    const batch_head& head) {
    batch_in_file batch{head, {}};
    batch.sectors.resize(static_cast<std::size_t>(padded(batch_head_bytes + head.bytes)));
    OVIR_TRY(read_padded(file, offset, batch.sectors));
    return batch;
  }
};

/// Reads a log from its first batch to its last.
class entry_log::scanner {
public:
  scanner(entry_log& log, const entry_visitor& visit, std::uint64_t file_bytes)
      : log_(log), visit_(visit), file_bytes_(file_bytes) {}

  /// Until the end. What is torn there is told in `report`.
  result<void> run(log_report& report) {
    std::array<std::byte, sector_bytes> sector{};
    while (true) {
      OVIR_TRY(read_padded(*log_.file_, log_.end_, sector));
      if (all_zero(sector)) {
        return end_here(report);
      }
      const auto head = batch_head_from(sector);
      if (!head) {
        return wrong_at(log_.size_, "the head of its batch does not check");
      }
      if (head->first != log_.size_ || head->chain != log_.chain_) {
        return wrong_at(log_.size_, "its batch does not continue the entry before it");
      }
      OVIR_ASSIGN(const batch_in_file batch, batch_in_file::read(*log_.file_, log_.end_, *head));
      OVIR_ASSIGN(const bool whole, check(batch));
      if (!whole) {
        report.torn = true;
        report.torn_bytes = batch.sectors.size();
        return {};
      }
      OVIR_TRY(take(batch));
    }
  }

  /// The entry that the last error is about.
  [[nodiscard]] std::optional<std::uint64_t> damaged_entry() const { return damaged_entry_; }

private:
  error wrong_at(std::uint64_t index, std::string_view what) {
    damaged_entry_ = index;
    return damaged(index, what);
  }

  /// Zeros where a batch would begin: nothing may follow but the rest of a batch that was torn.
  result<void> end_here(log_report& report) {
    OVIR_ASSIGN(const auto end, end_of_nonzero(*log_.file_, log_.end_, file_bytes_));
    if (!end) {
      return {};
    }
    const std::uint64_t longest = padded(batch_head_bytes + limits::ledger_batch_bytes_max);
    OVIR_ASSIGN(const bool more, holds_batch(*log_.file_, log_.end_ + sector_bytes, *end));
    if (more || *end - log_.end_ > longest) {
      return wrong_at(log_.size_, "the head of its batch is gone, but there is more behind it");
    }
    report.torn = true;
    report.torn_bytes = *end - log_.end_;
    return {};
  }

  /// True when every entry checks. False for a torn batch, which must be the last; an error names
  /// the first entry that does not check in one that is whole.
  result<bool> check(const batch_in_file& batch) {
    std::optional<error> wrong;
    digest chain = log_.chain_;
    std::size_t at = 0;
    std::uint32_t n = 0;
    for (; n < batch.head.entries && !wrong; ++n) {
      const auto frame = next_frame(batch.body(), at);
      if (!frame) {
        wrong = wrong_at(batch.head.first + n, "its length is wrong");
        break;
      }
      chain = chain_after(chain, leaf_hash(frame->bytes));
      if (std::memcmp(chain.bytes.data(), frame->check.data(), check_bytes) != 0) {
        wrong = wrong_at(batch.head.first + n, "its check fails");
      }
    }
    const std::uint64_t last = batch.head.first + batch.head.entries - 1;
    const auto rest = std::span{batch.sectors}.subspan(batch_head_bytes + batch.head.bytes);
    if (!wrong && (at != batch.head.bytes || std::any_of(rest.begin(), rest.end(), [](std::byte b) {
                     return b != padding;
                   }))) {
      wrong = wrong_at(last, "what fills its batch up is not what was written");
    }
    if (!wrong) {
      return true;
    }
    const std::uint64_t behind = log_.end_ + batch.sectors.size();
    OVIR_ASSIGN(const auto more, end_of_nonzero(*log_.file_, behind, file_bytes_));
    if (batch.lacks_a_sector() && !more) {
      return false;
    }
    return *wrong;
  }

  result<void> take(const batch_in_file& batch) {
    log_.note_place(log_.size_, log_.end_);
    std::size_t at = 0;
    grown next{log_.tree_, log_.block_, {}};
    for (std::uint32_t n = 0; n < batch.head.entries; ++n) {
      const auto frame = next_frame(batch.body(), at);
      OVIR_TRY(visit_(log_.size_, frame->bytes));
      const digest leaf = leaf_hash(frame->bytes);
      log_.chain_ = chain_after(log_.chain_, leaf);
      next.append(leaf);
      ++log_.size_;
    }
    log_.take(std::move(next));
    log_.last_ = log_.end_;
    log_.end_ += batch.sectors.size();
    return {};
  }

  entry_log& log_;
  const entry_visitor& visit_;
  std::uint64_t file_bytes_;
  std::optional<std::uint64_t> damaged_entry_;
};

/// Takes over what was known at `from`, if the batch before it leads there: the check behind an
/// entry follows from every entry before it.
result<void> entry_log::go_on_from(const log_checkpoint& from) {
  const auto other = [] { return fail(errc::not_found, "the checkpoint is not one of this log"); };
  std::array<std::byte, sector_bytes> sector{};
  OVIR_TRY(read_padded(*file_, from.last_batch, sector));
  const auto head = batch_head_from(sector);
  if (!head || from.places.empty() || head->first + head->entries != from.size ||
      from.last_batch + padded(batch_head_bytes + head->bytes) != from.end ||
      from.block_roots.size() * block_leaves + from.block.size() != from.size) {
    return other();
  }
  OVIR_ASSIGN(const batch_in_file batch, batch_in_file::read(*file_, from.last_batch, *head));
  chain_ = head->chain;
  std::size_t at = 0;
  for (std::uint32_t n = 0; n < head->entries; ++n) {
    const auto frame = next_frame(batch.body(), at);
    if (!frame) {
      return other();
    }
    chain_ = chain_after(chain_, leaf_hash(frame->bytes));
    if (std::memcmp(chain_.bytes.data(), frame->check.data(), check_bytes) != 0) {
      return other();
    }
  }
  if (chain_ != from.chain) {
    return other();
  }
  size_ = from.size;
  end_ = from.end;
  last_ = from.last_batch;
  block_ = from.block;
  block_roots_ = from.block_roots;
  for (const digest& root : block_roots_) {
    tree_.append_tree(root, block_leaves);
  }
  places_ = from.places;
  return {};
}

result<void> entry_log::scan(const entry_visitor& visit, log_report& report, bool repair,
                             const log_checkpoint* from) {
  std::array<std::byte, sector_bytes> head{};
  OVIR_ASSIGN(prepared_, file_->size());
  OVIR_ASSIGN(const std::size_t got, file_->read_at(0, head));
  OVIR_TRY(check_file_head(std::span{head}.first(got)));
  end_ = sector_bytes;
  if (from != nullptr) {
    OVIR_TRY(go_on_from(*from));
  }
  scanner reader{*this, visit, prepared_};
  if (const auto done = reader.run(report); !done) {
    report.damaged_entry = reader.damaged_entry();
    return done.error();
  }
  if (repair && report.torn) {
    const std::vector<std::byte> zeros(
        static_cast<std::size_t>(std::min(padded(report.torn_bytes), prepared_ - end_)));
    OVIR_TRY(file_->write_at(end_, zeros));
    OVIR_TRY(file_->sync());
  }
  return {};
}

namespace {

result<void> require_entries(std::uint64_t size, std::uint64_t least, log_report& report) {
  if (size >= least) {
    return {};
  }
  report.damaged_entry = size;
  return fail(errc::digest_mismatch,
              "entry {} of the log is gone: the log ends with {} entries, but had {}; restore it "
              "from a follower",
              size, size, least);
}

} // namespace

result<entry_log> entry_log::open(durable_file& file, const log_options& options,
                                  const entry_visitor& visit, log_report& report,
                                  std::uint64_t entries_least, const log_checkpoint* from) {
  entry_log log{file, options};
  OVIR_TRY(log.scan(visit, report, false, from));
  OVIR_TRY(require_entries(log.size_, entries_least, report)); // before anything is cleared away
  if (report.torn) {
    log = entry_log{file, options};
    OVIR_TRY(log.scan([](std::uint64_t, std::span<const std::byte>) { return result<void>{}; },
                      report, true, from));
  }
  return log;
}

result<entry_log> entry_log::read(durable_file& file, const entry_visitor& visit,
                                  log_report& report, std::uint64_t entries_least) {
  entry_log log{file, {}};
  log.writable_ = false;
  OVIR_TRY(log.scan(visit, report, false));
  OVIR_TRY(require_entries(log.size_, entries_least, report));
  return log;
}

result<void> entry_log::visit_range(std::uint64_t first, std::uint64_t count,
                                    const entry_visitor& visit) const {
  const auto after =
      std::upper_bound(places_.begin(), places_.end(), first,
                       [](std::uint64_t index, const log_place& p) { return index < p.first; });
  std::uint64_t offset = std::prev(after)->offset;
  std::uint64_t index = std::prev(after)->first;
  std::array<std::byte, batch_head_bytes> head_bytes{};
  while (index < first + count) {
    OVIR_TRY(read_padded(*file_, offset, head_bytes));
    const auto head = batch_head_from(head_bytes);
    if (!head || head->first != index) {
      return damaged(index, "the head of its batch changed since the log was opened");
    }
    if (index + head->entries > first) {
      OVIR_ASSIGN(const batch_in_file batch, batch_in_file::read(*file_, offset, *head));
      digest chain = head->chain;
      std::size_t at = 0;
      for (std::uint64_t n = index; n < std::min(index + head->entries, first + count); ++n) {
        const auto frame = next_frame(batch.body(), at);
        if (!frame) {
          return damaged(n, "its length changed since the log was opened");
        }
        chain = chain_after(chain, leaf_hash(frame->bytes));
        if (std::memcmp(chain.bytes.data(), frame->check.data(), check_bytes) != 0) {
          return damaged(n, "it changed since the log was opened");
        }
        if (n >= first) {
          OVIR_TRY(visit(n, frame->bytes));
        }
      }
    }
    index += head->entries;
    offset += padded(batch_head_bytes + head->bytes);
  }
  return {};
}

} // namespace ovir::ledger
