#pragma once

#include "ledger/audit/audit_draw.hpp"
#include "ledger/audit/epoch_draw.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ovir::test {

/// A ledger with verifiers that have hash chains, and a reader of its epochs beside it.
class epoch_world {
public:
  static constexpr std::uint64_t t0 = ledger_world::t0;
  static constexpr std::uint8_t client = 1;

  explicit epoch_world(const ledger::genesis& rules = usual_rules());
  epoch_world(const epoch_world&) = delete;
  epoch_world& operator=(const epoch_world&) = delete;

  /// Those of `ledger_world`; every unit is drawn at first, as nobody has a history.
  [[nodiscard]] static ledger::genesis usual_rules();

  /// Empty, or why not.
  std::string run(const ledger::authentic_command& one);
  std::string commit(std::uint8_t verifier, std::uint32_t links, std::uint8_t seed);
  /// What its chain says, for the epoch that was closed last.
  std::string link(std::uint8_t verifier);
  std::string link(std::uint8_t verifier, std::uint64_t epoch, const digest& link);
  /// Link `number` of what it committed to last but `back` times.
  [[nodiscard]] digest link_of(std::uint8_t verifier, std::uint32_t number, std::size_t back = 0);
  /// A request of that many windows by those stages, and the end of the epoch.
  void work(const std::vector<std::uint8_t>& stages, std::uint32_t windows = 4);
  std::string close();
  /// Work by 2 and 3, the end of the epoch, and links of all but those.
  void epoch_without(const std::vector<std::uint8_t>& silent = {});

  [[nodiscard]] const ledger::account& of(std::uint8_t who) const;
  [[nodiscard]] std::uint64_t epoch() const { return book.view().epochs().number; }
  [[nodiscard]] const ledger::epoch_draw& draw_of(std::uint64_t epoch) const;
  [[nodiscard]] static std::vector<ledger::drawn_unit> units_of(const ledger::epoch_draw& d);

  test::memory_file file;
  std::uint64_t now{t0};
  ledger::epoch_reader reader;
  std::vector<ledger::epoch_draw> draws;
  ledger::ledger book;
  ledger_world world;

private:
  struct promise {
    std::uint64_t first;
    ledger::hash_chain chain;
  };
  [[nodiscard]] ledger::ledger_options options();

  std::map<std::uint8_t, std::vector<promise>> chains_;
};

} // namespace ovir::test
