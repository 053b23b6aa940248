#pragma once

#include "actors/shared/ring.hpp"
#include "messages/limits/shared.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <span>
#include <utility>

namespace ovir::actors {

/// A descriptor that is closed with its owner.
class file_handle {
public:
  file_handle() = default;
  explicit file_handle(int descriptor) noexcept : descriptor_(descriptor) {}
  file_handle(file_handle&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  file_handle& operator=(file_handle&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~file_handle();

  [[nodiscard]] int get() const noexcept { return descriptor_; }
  explicit operator bool() const noexcept { return descriptor_ >= 0; }

private:
  int descriptor_{-1};
};

/// The memory of one link: two rings, in a file without a name that cannot change its size. It goes
/// when the last process that has it ends, however that ends.
class shared_region {
public:
  static constexpr std::size_t ring_bytes = ring_layout::head_bytes + limits::shared_ring_bytes;
  static constexpr std::size_t size_bytes = 2 * ring_bytes;

  /// A new one, all zero, whose memory is there. `io_failed`, or `unsupported` where the system has
  /// no such files.
  [[nodiscard]] static result<shared_region> make();
  /// That of another process. `malformed` where its size is another one or could change, because
  /// then reading could end this process.
  [[nodiscard]] static result<shared_region> take(file_handle file);

  shared_region(shared_region&& other) noexcept;
  shared_region& operator=(shared_region&& other) noexcept;
  ~shared_region();

  /// 0: what the side that opened the connection writes; 1: what it reads.
  [[nodiscard]] std::span<std::byte> ring(std::size_t direction) const;
  /// To be handed to the other process; -1: it is closed.
  [[nodiscard]] int file() const noexcept { return file_.get(); }
  /// The memory stays.
  void close_file() { file_ = file_handle{}; }

private:
  shared_region(file_handle file, std::byte* memory) : file_(std::move(file)), memory_(memory) {}
  [[nodiscard]] static result<shared_region> map(file_handle file);

  file_handle file_;
  std::byte* memory_{nullptr};
};

} // namespace ovir::actors
