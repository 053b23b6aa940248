#pragma once

#include "messages/derived_index.hpp"

namespace ovir::test {

/// A `derived_index` in memory.
class memory_index final : public derived_index {
public:
  result<void> visit(const visitor& each) override {
    for (const auto& [key, record] : records) {
      each(key, record);
    }
    return {};
  }
  result<std::optional<std::string>> find(const std::string& key) override {
    ++reads;
    const auto found = records.find(key);
    return found == records.end() ? std::optional<std::string>{} : std::optional{found->second};
  }
  result<void> commit(const changes& what) override {
    for (const auto& [key, record] : what) {
      if (record) {
        records.insert_or_assign(key, *record);
      } else {
        records.erase(key);
      }
    }
    return {};
  }
  result<void> clear() override {
    records.clear();
    return {};
  }

  std::map<std::string, std::string, std::less<>> records;
  std::size_t reads{0}; ///< single ones
};

} // namespace ovir::test
