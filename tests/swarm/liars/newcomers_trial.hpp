#pragma once

#include "tests/swarm/liars/newcomer_flood.hpp"
#include "tests/swarm/swarm.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ovir::swarm {

struct newcomers_plan {
  std::uint64_t seed{1};
  std::size_t liars{500};
  std::size_t requests{120};
  bool free{false}; ///< the ledger charges nothing
};

/// What a request wants before it is told a token.
enum class wanted_proof : std::uint8_t {
  none,  ///< one path computes it
  twice, ///< so long that its scheduler has it computed twice (`audit.twice_tokens`)
  after, ///< it asks for reveal `after`
};
inline constexpr std::size_t proofs_wanted = 3;

/// Requests of one kind.
struct newcomers_row {
  std::size_t asked{0};
  std::size_t wrong{0};           ///< told other bytes than one process computes
  std::size_t open{0};            ///< not answered
  std::size_t refused{0};         ///< for good
  std::vector<nanoseconds> times; ///< from question to answer, in order
  [[nodiscard]] nanoseconds share(std::size_t percent) const;
};

struct newcomers_run {
  std::array<newcomers_row, proofs_wanted> rows;
  std::size_t nodes_begun{0};     ///< of liars
  std::uint64_t passes_lied{0};   ///< of stages
  std::uint64_t floods_let_in{0}; ///< links
  std::uint64_t records{0};       ///< told by them
  std::uint64_t stages_kept{0};   ///< given to keys that compute nothing
  std::size_t convicted{0};       ///< liars
  std::size_t honest_convicted{0};
  outcome rest; ///< of the swarm
};

struct newcomers_report {
  newcomers_run calm;     ///< without hostile keys
  newcomers_run attacked; ///< the same requests, at the same times
  std::vector<std::string> violations;
};

/// An open cluster of nodes with leave, some with stake, and two honest workers without. From the
/// first second on keys without leave come to it from many networks. Each floods members' records
/// (`newcomer_flood`); in turns they are nodes that hold the whole model and compute all of it from
/// other inputs, all from the same ones, so that they agree. What they state is signed and well
/// formed. A node of theirs ends after some seconds and its place goes to the next key.
class newcomers_trial {
public:
  /// `says`: lines of the nodes' logs; may be empty.
  newcomers_trial(const newcomers_plan& plan, tiny_model& model,
                  std::function<void(nanoseconds, const std::string&)> says);
  newcomers_report run();

private:
  class attack;

  [[nodiscard]] newcomers_run run_one(std::size_t liars);
  void count(const swarm& all, newcomers_run& into);
  void judge(newcomers_report& report) const;

  newcomers_plan plan_;
  tiny_model& model_;
  std::function<void(nanoseconds, const std::string&)> says_;
};

/// For people.
[[nodiscard]] std::string to_text(const newcomers_plan& plan, const newcomers_report& report);

} // namespace ovir::swarm
