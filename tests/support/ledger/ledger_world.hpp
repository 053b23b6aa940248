#pragma once

#include "ledger/keeper/ledger.hpp"
#include "ledger/rules/split.hpp"
#include "ledger/rules/tariff.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ovir::test {

/// Keys with names, rules that deter, and commands signed as they must be: a small world for tests
/// of the ledger.
class ledger_world {
public:
  static constexpr std::uint64_t t0 = 1'700'000'000;

  [[nodiscard]] static secret_key key(std::uint8_t number);
  [[nodiscard]] static node_id node(std::uint8_t number) { return key(number).id(); }
  static constexpr std::uint8_t keeper = 200;
  static constexpr std::uint8_t minter = 201;

  /// Audits that deter without any stake: after 100 s, unlocking after 1000 s, a fee of one
  /// percent.
  [[nodiscard]] static ledger::genesis rules();

  /// `rate`: what a token costs.
  explicit ledger_world(const digest& id, std::uint64_t rate = ledger::credit)
      : id_(id), rate_(rate) {}

  [[nodiscard]] ledger::authentic_command mint(std::uint8_t to, std::uint64_t amount);
  [[nodiscard]] ledger::authentic_command mint_assurance(std::uint64_t amount);
  [[nodiscard]] ledger::authentic_command transfer(std::uint8_t from, std::uint8_t to,
                                                   std::uint64_t amount);
  [[nodiscard]] ledger::authentic_command lock(std::uint8_t who, std::uint64_t amount);
  [[nodiscard]] ledger::authentic_command unlock(std::uint8_t who, std::uint64_t amount);
  /// One credit per token, unless told otherwise, for stages of equal layers. The escrow is
  /// `last_request`.
  [[nodiscard]] ledger::authentic_command reserve(std::uint8_t payer,
                                                  const std::vector<std::uint8_t>& stages,
                                                  std::uint64_t prompt, std::uint64_t completion,
                                                  std::uint64_t expires = t0 + 500);
  /// The next window of `last_request`, equal weights.
  [[nodiscard]] ledger::authentic_command accrue(const ledger::state& s, std::uint64_t frontier,
                                                 const std::vector<std::uint8_t>& stages,
                                                 std::uint64_t cached_ppm = 0,
                                                 const std::vector<std::uint8_t>& servers = {});
  /// From now on `last_request` is the one that a test reserved for itself.
  void drive(const ledger::reserve& r, std::uint8_t driver) {
    last_request = escrow_of(r);
    drivers_[last_request] = driver;
  }
  /// The end of `last_request`, by who drives it.
  [[nodiscard]] ledger::authentic_command settle() const;
  [[nodiscard]] ledger::authentic_command commit(std::uint8_t verifier, const digest& anchor,
                                                 std::uint32_t links);
  /// Further stages of `last_request`.
  [[nodiscard]] ledger::authentic_command reroute(std::uint8_t scheduler,
                                                  const std::vector<std::uint8_t>& stages);
  /// One that nobody made.
  [[nodiscard]] static digest statement(std::uint64_t number);
  [[nodiscard]] ledger::authentic_command convict(std::uint32_t window, std::uint8_t guilty,
                                                  std::uint8_t finder);
  [[nodiscard]] ledger::authentic_command keep(ledger::command c) const;
  [[nodiscard]] ledger::authentic_command sign(std::uint8_t who, ledger::command c) const;

  ledger::escrow_id last_request;

private:
  digest id_;
  std::uint64_t rate_;
  std::uint64_t nonce_{0};
  std::uint64_t statements_{0};
  std::map<ledger::escrow_id, std::uint8_t> drivers_;
};

} // namespace ovir::test
