#include "ledger/log/log.hpp"

#include "ledger/log/log_format.hpp"
#include "messages/mutant.hpp"
#include "messages/short_hash.hpp"
#include "messages/wire/bytes.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>

namespace ovir::ledger {

namespace {

constexpr std::uint64_t place_every = 64; ///< entries between two remembered batches
constexpr std::size_t zeros_at_once = 1U << 20U;
constexpr std::size_t worth_a_hint = 16; ///< entries of a batch; hashing fewer takes no time

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

digest chain_after(const digest& before, const digest& leaf) {
  thread_local short_hasher links{"ovir/ledger/v1/chain"};
  const std::array<digest, 2> both{before, leaf};
  return links(std::as_bytes(std::span{both}));
}

result<entry_log> entry_log::create(durable_file& file, const log_options& options) {
  OVIR_ASSIGN(const std::uint64_t there, file.size());
  if (there != 0) {
    return fail(errc::invalid_argument,
                "the file for a new log has {} bytes in it already; choose another place", there);
  }
  entry_log log{file, options};
  // The zeros first: a loss of power leaves no head, or a head over zeros.
  log.end_ = sector_bytes;
  OVIR_TRY(log.prepare(sector_bytes + 1));
  OVIR_TRY(file.write_at(0, file_head()));
  OVIR_TRY(file.sync());
  return log;
}

result<void> entry_log::prepare(std::uint64_t end) {
  if (end > prepared_) {
    prepared_ = std::max(prepared_, file_->extended());
  }
  if (end <= prepared_) {
    return {};
  }
  if (end > limits::ledger_log_bytes_max) {
    return fail(errc::over_limit, "a log has at most {} bytes; begin a new ledger",
                limits::ledger_log_bytes_max);
  }
  const std::uint64_t step = std::max<std::uint64_t>(options_.step_bytes, sector_bytes);
  const std::uint64_t wanted = padded((end + step - 1) / step * step);
  const std::vector<std::byte> zeros(
      static_cast<std::size_t>(std::min<std::uint64_t>(wanted - prepared_, zeros_at_once)));
  while (prepared_ < wanted) {
    const auto part =
        static_cast<std::size_t>(std::min<std::uint64_t>(wanted - prepared_, zeros.size()));
    OVIR_TRY(file_->write_at(prepared_, std::span{zeros}.first(part)));
    prepared_ += part;
  }
  return file_->sync();
}

void entry_log::note_place(std::uint64_t first, std::uint64_t offset) {
  if (places_.empty() || first >= places_.back().first + place_every) {
    places_.push_back({first, offset});
  }
}

void entry_log::grown::append(const digest& leaf) {
  leaves.push_back(leaf);
  block.append(leaf);
  if (block.size() == block_leaves) {
    block_roots.push_back(block.root());
    tree.append_tree(block_roots.back(), block_leaves);
    block = {};
  }
}

void entry_log::take(grown&& next) {
  tree_ = std::move(next.tree);
  block_ = std::move(next.block);
  for (const digest& root : next.block_roots) {
    block_roots_.append(root);
  }
  for (const digest& leaf : next.leaves) {
    recent_.append(leaf);
  }
}

log_checkpoint entry_log::checkpoint() const {
  return {size_, end_, last_, chain_, block_, block_roots_.leaves(), places_};
}

merkle_frontier entry_log::frontier() const {
  merkle_frontier all = tree_;
  all.append_right(block_);
  return all;
}

bool entry_log::room_for(std::size_t bytes) const noexcept {
  return staged_leaves_.size() < limits::ledger_batch_entries_max &&
         batch_.size() + bytes + entry_frame_bytes <= limits::ledger_batch_bytes_max;
}

void entry_log::stage(std::span<const std::byte> bytes) {
  OVIR_CHECK(writable_ && room_for(bytes.size()) && bytes.size() <= limits::ledger_entry_bytes_max);
  if (staged_leaves_.empty()) {
    batch_.assign(batch_head_bytes, std::byte{0});
    staged_chain_ = chain_;
  }
  const digest leaf = leaf_hash(bytes);
  staged_chain_ = chain_after(staged_chain_, leaf);
  byte_writer w{batch_};
  w.number(static_cast<std::uint32_t>(bytes.size()));
  w.bytes(bytes.data(), bytes.size());
  w.bytes(staged_chain_.bytes.data(), check_bytes);
  staged_leaves_.push_back(leaf);
}

result<void> entry_log::flush() {
  if (staged_leaves_.empty()) {
    return {};
  }
  if (!writable_) {
    return fail(errc::io_failed, "the log failed before; open the ledger anew");
  }
  batch_head head;
  head.entries = static_cast<std::uint32_t>(staged_leaves_.size());
  head.first = size_;
  head.bytes = batch_.size() - batch_head_bytes;
  head.chain = chain_;
  const auto head_bytes = to_bytes(head);
  std::copy(head_bytes.begin(), head_bytes.end(), batch_.begin());
  batch_.resize(static_cast<std::size_t>(padded(batch_.size())), padding);
  writable_ = false; // until it is known to have worked
  OVIR_TRY(prepare(end_ + batch_.size()));
  OVIR_TRY(file_->write_at(end_, batch_));
  // While the disk works the tree grows; nobody sees it before the batch lasts.
  if (staged_leaves_.size() >= worth_a_hint) {
    file_->sync_soon(end_, batch_.size());
  }
  grown next{tree_, block_, {}, {}};
  for (const digest& leaf : staged_leaves_) {
    next.append(leaf);
  }
  if (!OVIR_MUTANT("ledger_promises_before_it_syncs")) {
    OVIR_TRY(file_->sync());
  }
  writable_ = true;
  note_place(size_, end_);
  last_ = end_;
  end_ += batch_.size();
  size_ += staged_leaves_.size();
  take(std::move(next));
  chain_ = staged_chain_;
  staged_leaves_.clear();
  extend_soon();
  return {};
}

/// So that hardly a batch waits for zeros: the next step is asked for when half of one is left.
void entry_log::extend_soon() {
  const std::uint64_t step = std::max<std::uint64_t>(options_.step_bytes, sector_bytes);
  if (prepared_ - end_ < step / 2 && prepared_ + step <= limits::ledger_log_bytes_max) {
    file_->extend_soon(prepared_, padded(prepared_ + step));
  }
}

result<digest> entry_log::root_between(std::uint64_t first, std::uint64_t count) const {
  OVIR_CHECK(count > 0 && first + count <= size_, first, count);
  if (count >= block_leaves && first % block_leaves == 0 && count % block_leaves == 0) {
    return block_roots_.root(first / block_leaves, count / block_leaves);
  }
  if (count > block_leaves) {
    const std::uint64_t left = std::bit_floor(count - 1);
    OVIR_ASSIGN(const digest a, root_between(first, left));
    OVIR_ASSIGN(const digest b, root_between(first + left, count - left));
    return node_hash(a, b);
  }
  if (const auto root = recent_.root(first, count)) {
    return *root;
  }
  merkle_frontier tree;
  OVIR_TRY(visit_range(first, count, [&](std::uint64_t, std::span<const std::byte> bytes) {
    tree.append(leaf_hash(bytes));
    return result<void>{};
  }));
  return tree.root();
}

result<digest> entry_log::leaf_at(std::uint64_t index) const {
  OVIR_CHECK(index < size_, index, size_);
  if (const auto leaf = recent_.root(index, 1)) {
    return *leaf;
  }
  OVIR_ASSIGN(const std::vector<std::byte> bytes, entry_at(index));
  return leaf_hash(bytes);
}

result<std::vector<std::byte>> entry_log::entry_at(std::uint64_t index) const {
  if (index >= size_) {
    return fail(errc::not_found, "there is no entry {}; the log has {}", index, size_);
  }
  std::vector<std::byte> found;
  OVIR_TRY(visit_range(index, 1, [&](std::uint64_t, std::span<const std::byte> bytes) {
    found.assign(bytes.begin(), bytes.end());
    return result<void>{};
  }));
  return found;
}

// Reading: batch by batch, believing nothing before it checks.

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
    grown next{log_.tree_, log_.block_, {}, {}};
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
  for (const digest& root : from.block_roots) {
    block_roots_.append(root);
    tree_.append_tree(root, block_leaves);
  }
  recent_ = recent_leaves{size_};
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
  if (log.size_ == 0 && options.needs_entries) {
    return log;
  }
  if (report.torn) {
    log = entry_log{file, options};
    OVIR_TRY(log.scan([](std::uint64_t, std::span<const std::byte>) { return result<void>{}; },
                      report, true, from));
  }
  OVIR_TRY(log.sync_last_batch());
  return log;
}

/// The last batch may have been read from the system's memory and never have reached the disk: the
/// process that wrote it ended, or its sync failed. After a failed sync another one alone promises
/// nothing, so the batch is written once more. Each earlier batch was synced before the next one
/// was written.
result<void> entry_log::sync_last_batch() {
  if (size_ == 0 || OVIR_MUTANT("ledger_believes_what_it_reads")) {
    return {};
  }
  std::vector<std::byte> batch(static_cast<std::size_t>(end_ - last_));
  OVIR_TRY(read_padded(*file_, last_, batch));
  OVIR_TRY(file_->write_at(last_, batch));
  return file_->sync();
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
