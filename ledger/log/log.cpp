#include "ledger/log/log.hpp"

#include "ledger/log/codec.hpp"
#include "ledger/log/log_format.hpp"
#include "messages/short_hash.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace ovir::ledger {

namespace {

constexpr std::uint64_t place_every = 64; ///< entries between two remembered batches
constexpr std::size_t zeros_at_once = 1U << 20U;
constexpr std::size_t worth_a_hint = 16; ///< entries of a batch; hashing fewer takes no time

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
  block_roots_.insert(block_roots_.end(), next.block_roots.begin(), next.block_roots.end());
}

log_checkpoint entry_log::checkpoint() const {
  return {size_, end_, last_, chain_, block_, block_roots_, places_};
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
  grown next{tree_, block_, {}};
  for (const digest& leaf : staged_leaves_) {
    next.append(leaf);
  }
  OVIR_TRY(file_->sync());
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
  if (count == block_leaves && first % block_leaves == 0) {
    return block_roots_[first / block_leaves];
  }
  if (count > block_leaves) {
    const std::uint64_t left = std::bit_floor(count - 1);
    OVIR_ASSIGN(const digest a, root_between(first, left));
    OVIR_ASSIGN(const digest b, root_between(first + left, count - left));
    return node_hash(a, b);
  }
  merkle_frontier tree;
  OVIR_TRY(visit_range(first, count, [&](std::uint64_t, std::span<const std::byte> bytes) {
    tree.append(leaf_hash(bytes));
    return result<void>{};
  }));
  return tree.root();
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

} // namespace ovir::ledger
