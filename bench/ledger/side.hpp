#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

/// The programs that bench/compare_ledger compares, behind one face: a double entry with a unique
/// id per transfer, durable when `commit` returns.
namespace ovir::bench {

/// One transfer between two of `accounts` accounts; `number` makes its id.
struct transfer_asked {
  std::uint64_t number{0};
  std::uint32_t from{0};
  std::uint32_t to{0};
  std::uint64_t amount{0};
};

class side {
public:
  virtual ~side() = default;
  /// What clients do for the next batch; not measured.
  virtual void prepare(const std::vector<transfer_asked>& /*batch*/) {}
  /// All of it lasts when it returns. Ends the program with a sentence when something is wrong.
  virtual void commit(const std::vector<transfer_asked>& batch) = 0;
  /// The sum of all balances, and how many transfers were made: the same on every side.
  [[nodiscard]] virtual std::uint64_t balances() = 0;
  [[nodiscard]] virtual std::uint64_t transfers() = 0;
};

inline constexpr std::uint32_t accounts = 1'000;
inline constexpr std::uint64_t first_balance = 1'000'000'000'000;

/// 32 bytes that follow from a number, as different as digests.
[[nodiscard]] std::string id_bytes(std::uint64_t number);
[[noreturn]] void give_up(const std::string& what);

/// `indexed`: with its index in LMDB, which is written after the commits it is behind of.
[[nodiscard]] std::unique_ptr<side> make_ovir(const std::string& folder, bool indexed);
/// As nodes keep it, with signatures and promises: 1 or several keepers of one process.
[[nodiscard]] std::unique_ptr<side> make_keepers(const std::string& folder, std::size_t count);
/// As `make_ovir`, three times: servers of one process that agree by Raft, a thread each.
[[nodiscard]] std::unique_ptr<side> make_joint(const std::string& folder);
/// `ids_in_memory`: uniqueness is kept by a hash table beside it, as OVIR's is.
[[nodiscard]] std::unique_ptr<side> make_sqlite(const std::string& folder, bool ids_in_memory);
/// `connection` is libpq's. `set_based`: one statement per batch, else one per transfer, pipelined.
[[nodiscard]] std::unique_ptr<side> make_postgres(const std::string& connection, bool set_based);

} // namespace ovir::bench
