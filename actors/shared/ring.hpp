#pragma once

#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

/// A ring of bytes in memory that two processes share: one writes, the other reads
/// (docs/formats/shared.md). Neither believes the other: each keeps its own index, checks the
/// other's before it uses it, and copies bytes out before anything looks at them. Nobody waits
/// here; a side that is to be woken says so in the ring.
namespace ovir::actors {

/// Indices and flags stand in front of the bytes, each in a cache line of its own.
struct ring_layout {
  static constexpr std::size_t head_bytes = 4'096;
  static constexpr std::size_t written_at = 0;        ///< u64: bytes written since the beginning
  static constexpr std::size_t read_at = 64;          ///< u64: bytes read since the beginning
  static constexpr std::size_t reader_waits_at = 128; ///< u32: wake the reader once bytes are there
  static constexpr std::size_t writer_waits_at = 192; ///< u32: wake the writer once there is room
};

/// What both ends have in common. Owns nothing: the memory outlives it.
class ring_end {
public:
  /// `memory`: head and bytes, whose number is a power of two; at a multiple of 64.
  explicit ring_end(std::span<std::byte> memory);

protected:
  [[nodiscard]] std::uint64_t load(std::size_t at) const;
  void store(std::size_t at, std::uint64_t value);
  /// Whether the flag was set. It is cleared.
  [[nodiscard]] bool take_flag(std::size_t at);
  void set_flag(std::size_t at);

  std::span<std::byte> head_;
  std::span<std::byte> bytes_;
  std::uint64_t own_{0}; ///< this side's index
};

/// One thread at a time.
class ring_writer : private ring_end {
public:
  using ring_end::ring_end;

  /// Copies the beginning of `from`, as much as there is room for, at most
  /// `limits::shared_part_bytes` of it, and shows it to the reader. `malformed` where the reader
  /// claims what it cannot have read.
  [[nodiscard]] result<std::size_t> write(std::span<const std::byte> from);
  /// The reader sleeps and is to be woken. Once for each sleep.
  [[nodiscard]] bool reader_waits();
  /// Asks to be woken once the reader has read more. True: there is room already.
  [[nodiscard]] result<bool> wait_for_room();

private:
  [[nodiscard]] result<std::size_t> room();

  std::uint64_t read_{0}; ///< how far the reader was seen to have read
};

/// One thread at a time.
class ring_reader : private ring_end {
public:
  using ring_end::ring_end;

  /// Fills the beginning of `out` with what is there, and gives its place back. `malformed` where
  /// the writer claims more than the ring holds.
  [[nodiscard]] result<std::size_t> read(std::span<std::byte> out);
  /// Bytes that are there. `malformed` likewise.
  [[nodiscard]] result<std::size_t> present() const;
  /// The writer sleeps until there is room and is to be woken. Once for each sleep.
  [[nodiscard]] bool writer_waits();
  /// Asks to be woken once there are bytes. True: there are some already.
  [[nodiscard]] result<bool> wait_for_bytes();
};

} // namespace ovir::actors
