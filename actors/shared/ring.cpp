#include "actors/shared/ring.hpp"

#include "messages/limits/shared.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace ovir::actors {

namespace {

// Sequential consistency throughout: a side that shows bytes and then looks whether the other one
// sleeps, and one that says it sleeps and then looks for bytes, must not both see the old state.
template <class Number>
std::atomic_ref<Number> number_at(std::span<std::byte> head, std::size_t at) {
  return std::atomic_ref<Number>{*reinterpret_cast<Number*>(head.data() + at)};
}

static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic_ref<std::uint32_t>::is_always_lock_free);

/// Copies between a run of bytes and a ring, in at most two parts.
template <class Copy>
void in_parts(std::uint64_t index, std::size_t capacity, std::size_t bytes, Copy copy) {
  const std::size_t at = static_cast<std::size_t>(index) & (capacity - 1);
  const std::size_t first = std::min(bytes, capacity - at);
  copy(at, std::size_t{0}, first);
  if (bytes > first) {
    copy(std::size_t{0}, first, bytes - first);
  }
}

} // namespace

ring_end::ring_end(std::span<std::byte> memory)
    : head_(memory.first(ring_layout::head_bytes)),
      bytes_(memory.subspan(ring_layout::head_bytes)) {
  OVIR_CHECK(!bytes_.empty() && (bytes_.size() & (bytes_.size() - 1)) == 0, bytes_.size());
  OVIR_CHECK(reinterpret_cast<std::uintptr_t>(head_.data()) % 64 == 0);
}

std::uint64_t ring_end::load(std::size_t at) const {
  return number_at<std::uint64_t>(head_, at).load();
}

void ring_end::store(std::size_t at, std::uint64_t value) {
  number_at<std::uint64_t>(head_, at).store(value);
}

bool ring_end::take_flag(std::size_t at) {
  const auto flag = number_at<std::uint32_t>(head_, at);
  return flag.load() != 0 && flag.exchange(0) != 0;
}

void ring_end::set_flag(std::size_t at) { number_at<std::uint32_t>(head_, at).store(1); }

result<std::size_t> ring_writer::room() {
  const std::uint64_t read = load(ring_layout::read_at);
  const std::uint64_t filled = own_ - read;
  if (filled > own_ - read_) { // it went back, or read what was never written
    return fail(errc::malformed, "the reader of a shared ring claims what it cannot have read");
  }
  read_ = read;
  return bytes_.size() - static_cast<std::size_t>(filled);
}

result<std::size_t> ring_writer::write(std::span<const std::byte> from) {
  OVIR_ASSIGN(const std::size_t free, room());
  const std::size_t count = std::min({from.size(), free, limits::shared_part_bytes});
  if (count > 0) {
    in_parts(own_, bytes_.size(), count, [&](std::size_t at, std::size_t done, std::size_t part) {
      std::memcpy(bytes_.data() + at, from.data() + done, part);
    });
    own_ += count;
    store(ring_layout::written_at, own_);
  }
  return count;
}

bool ring_writer::reader_waits() { return take_flag(ring_layout::reader_waits_at); }

result<bool> ring_writer::wait_for_room() {
  set_flag(ring_layout::writer_waits_at);
  OVIR_ASSIGN(const std::size_t free, room());
  return free > 0;
}

result<std::size_t> ring_reader::present() const {
  const std::uint64_t filled = load(ring_layout::written_at) - own_;
  if (filled > bytes_.size()) {
    return fail(errc::malformed, "the writer of a shared ring claims more than the ring holds");
  }
  return static_cast<std::size_t>(filled);
}

result<std::size_t> ring_reader::read(std::span<std::byte> out) {
  OVIR_ASSIGN(const std::size_t there, present());
  const std::size_t count = std::min(there, out.size());
  if (count > 0) {
    in_parts(own_, bytes_.size(), count, [&](std::size_t at, std::size_t done, std::size_t part) {
      std::memcpy(out.data() + done, bytes_.data() + at, part);
    });
    own_ += count;
    store(ring_layout::read_at, own_);
  }
  return count;
}

bool ring_reader::writer_waits() { return take_flag(ring_layout::writer_waits_at); }

result<bool> ring_reader::wait_for_bytes() {
  set_flag(ring_layout::reader_waits_at);
  OVIR_ASSIGN(const std::size_t there, present());
  return there > 0;
}

} // namespace ovir::actors
