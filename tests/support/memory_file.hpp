#pragma once

#include "messages/durable_file.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace ovir::test {

/// A `durable_file` in memory. Every write and sync is written down; either may be made to fail.
class memory_file final : public durable_file {
public:
  struct event {
    bool sync{false};
    std::uint64_t offset{0};
    std::vector<std::byte> bytes;
    bool failed{false};
  };

  memory_file() = default;
  explicit memory_file(std::vector<std::byte> bytes) : content(std::move(bytes)) {}

  result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= content.size()) {
      return std::size_t{0};
    }
    const std::size_t count = std::min(out.size(), content.size() - offset);
    std::copy_n(content.begin() + static_cast<long>(offset), count, out.begin());
    return count;
  }
  result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    if (calls_until_failure-- == 0) {
      return fail(errc::io_failed, "the disk refused");
    }
    content.resize(std::max<std::size_t>(content.size(), offset + bytes.size()));
    std::copy(bytes.begin(), bytes.end(), content.begin() + static_cast<long>(offset));
    events.push_back({false, offset, {bytes.begin(), bytes.end()}});
    return {};
  }
  result<void> sync() override {
    if (calls_until_failure-- == 0) {
      events.push_back({true, 0, {}, true});
      return fail(errc::io_failed, "the disk refused");
    }
    events.push_back({true, 0, {}});
    return {};
  }
  result<void> truncate(std::uint64_t bytes) override {
    content.resize(bytes);
    return {};
  }
  result<std::uint64_t> size() const override { return content.size(); }
  std::uint64_t bytes_on_disk() const noexcept override { return content.size(); }

  /// What a loss of power leaves for sure: a sync that failed drops what it should have kept, and
  /// no later one brings it back.
  [[nodiscard]] std::vector<std::byte> lasting(std::vector<std::byte> first = {}) const {
    std::vector<event> waiting;
    for (const event& e : events) {
      if (!e.sync) {
        waiting.push_back(e);
        continue;
      }
      for (const event& w : waiting) {
        if (!e.failed) {
          first.resize(std::max<std::size_t>(first.size(), w.offset + w.bytes.size()));
          std::copy(w.bytes.begin(), w.bytes.end(), first.begin() + static_cast<long>(w.offset));
        }
      }
      waiting.clear();
    }
    return first;
  }

  std::vector<std::byte> content;
  std::vector<event> events;
  std::uint64_t calls_until_failure{~std::uint64_t{0}};
};

} // namespace ovir::test
