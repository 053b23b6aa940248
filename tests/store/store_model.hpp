#pragma once

#include "storage/store/content_store.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

/// A simple model of the content store, and the random life that both lead.
namespace ovir::test {

/// Content by number: its kind, owner, size and bytes follow from it.
struct numbered_content {
  std::uint64_t number{0};

  [[nodiscard]] storage::content_kind kind() const;
  [[nodiscard]] storage::content_owner owner() const;
  [[nodiscard]] std::vector<std::byte> bytes() const;
  [[nodiscard]] digest content() const;
  [[nodiscard]] storage::key_target target() const;
  /// Kinds with a limit evict; the others never lose anything.
  [[nodiscard]] bool limited() const;
};

/// A change as a plain value, so that a batch can be made again after a crash.
struct model_change {
  enum class what : std::uint8_t { put, remove, pin, unpin, verify };
  what kind{what::put};
  std::uint64_t content{0};
  std::uint64_t key{0};
  bool verified{false};
};

/// What an unlimited kind must hold, exactly; of limited kinds only what is pinned is foreseen.
class store_model {
public:
  /// Makes the next batch and applies it. The same seed makes the same batches.
  [[nodiscard]] static std::vector<model_change> batch_of(std::mt19937_64& random);
  void apply(const std::vector<model_change>& batch);
  /// What the store said about the limited kinds.
  void apply_outcomes(const std::vector<model_change>& batch,
                      const std::vector<storage::change_outcome>& outcomes);

  /// What is pinned among limited kinds is no longer known: outcomes of a batch were not heard.
  void forget_pins() { pinned_.clear(); }

  /// Every promise about the whole store; empty: all are kept. `pins`: also those of limited kinds,
  /// which need the outcomes of every batch.
  [[nodiscard]] std::string compare(storage::content_store& store, bool pins) const;
  /// One random lookup; empty: as it must be.
  [[nodiscard]] std::string look_up(storage::content_store& store, std::mt19937_64& random,
                                    std::uint64_t now) const;

private:
  struct kept {
    std::vector<std::uint64_t> keys;
    bool pinned{false};
    bool verified{false};
  };
  [[nodiscard]] std::string look_up_key(storage::content_store& store, std::uint64_t owner,
                                        std::uint64_t key, std::uint64_t now) const;
  void put(const model_change& change);
  void remove(std::uint64_t content);

  using owned_key = std::pair<std::uint64_t, std::uint64_t>; ///< owner's number, key's number
  std::map<std::uint64_t, kept> unlimited_;
  std::map<owned_key, std::uint64_t> keys_; ///< of unlimited kinds
  std::set<std::uint64_t> pinned_;          ///< of limited kinds
};

/// The limits the model reckons with.
[[nodiscard]] storage::store_options model_options();
/// The changes as the store takes them; `bytes` keeps what they point to.
[[nodiscard]] std::vector<storage::store_change>
changes_of(const std::vector<model_change>& batch, std::vector<std::vector<std::byte>>& bytes);

} // namespace ovir::test
