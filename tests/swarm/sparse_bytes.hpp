#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace ovir::swarm {

/// The bytes of a file, in pages. One that was never written, or given back, reads as zeros and
/// takes no memory. Growing copies no bytes.
class sparse_bytes {
public:
  static constexpr std::size_t page_bytes = 4'096;

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  /// What the pages that exist take.
  [[nodiscard]] std::uint64_t bytes_taken() const noexcept { return pages_taken_ * page_bytes; }

  /// How many bytes there were: fewer than asked only at the end.
  std::size_t read(std::uint64_t offset, std::span<std::byte> out) const {
    if (offset >= size_) {
      return 0;
    }
    out = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size_ - offset)));
    each_part(offset, out.size(), [&](std::size_t page, std::size_t at, std::size_t from, auto n) {
      const auto to = out.subspan(from, n);
      if (pages_[page]) {
        std::copy_n(pages_[page]->begin() + static_cast<std::ptrdiff_t>(at), n, to.begin());
      } else {
        std::fill(to.begin(), to.end(), std::byte{});
      }
    });
    return out.size();
  }

  void write(std::uint64_t offset, std::span<const std::byte> bytes) {
    resize(std::max(size_, offset + bytes.size()));
    each_part(offset, bytes.size(),
              [&](std::size_t page, std::size_t at, std::size_t from, auto n) {
                std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(from), n,
                            made(page).begin() + static_cast<std::ptrdiff_t>(at));
              });
  }

  void resize(std::uint64_t size) {
    if (size < size_) {
      release(size, size_ - size);
    }
    pages_.resize(static_cast<std::size_t>((size + page_bytes - 1) / page_bytes));
    size_ = size;
  }

  /// Zeros from now on.
  void release(std::uint64_t offset, std::uint64_t bytes) {
    if (offset >= size_) {
      return;
    }
    bytes = std::min(bytes, size_ - offset);
    each_part(offset, bytes, [&](std::size_t page, std::size_t at, std::size_t, auto n) {
      if (!pages_[page]) {
        return;
      }
      if (n == page_bytes || (at == 0 && page * page_bytes + n == size_)) {
        pages_[page].reset();
        --pages_taken_;
      } else {
        std::fill_n(pages_[page]->begin() + static_cast<std::ptrdiff_t>(at), n, std::byte{});
      }
    });
  }

  void flip(std::uint64_t offset, unsigned bit) {
    made(static_cast<std::size_t>(offset / page_bytes)).at(offset % page_bytes) ^=
        static_cast<std::byte>(1U << bit);
  }

  [[nodiscard]] std::vector<std::byte> all() const {
    std::vector<std::byte> out(size_);
    read(0, out);
    return out;
  }

private:
  using page = std::array<std::byte, page_bytes>;

  template <class Act>
  static void each_part(std::uint64_t offset, std::uint64_t bytes, const Act& act) {
    for (std::uint64_t done = 0; done < bytes;) {
      const auto at = static_cast<std::size_t>((offset + done) % page_bytes);
      const auto n =
          static_cast<std::size_t>(std::min<std::uint64_t>(page_bytes - at, bytes - done));
      act(static_cast<std::size_t>((offset + done) / page_bytes), at,
          static_cast<std::size_t>(done), n);
      done += n;
    }
  }

  page& made(std::size_t number) {
    if (!pages_[number]) {
      pages_[number] = std::make_unique<page>();
      ++pages_taken_;
    }
    return *pages_[number];
  }

  std::vector<std::unique_ptr<page>> pages_;
  std::uint64_t size_{0};
  std::uint64_t pages_taken_{0};
};

} // namespace ovir::swarm
