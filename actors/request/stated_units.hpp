#pragma once

#include "actors/protocol/protocol.hpp"
#include "compute/model/transcript.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace ovir::actors {

/// A stage that another can take the place of.
struct stage_place {
  layer_range layers;
  std::uint32_t host{0}; ///< a number for the node that computes it, the same when it comes back
};

/// What the stages of a request stated of its units, and which host stated each. Stages elsewhere
/// are not trusted: two of three hosts outvote the third.
class stated_units {
public:
  /// Where a statement may end.
  struct bounds {
    position target{0};     ///< positions to be computed as far as known
    position length_max{0}; ///< most positions a stage may hold
    bool ends{false};       ///< the statement comes with the stage's end
  };
  enum class fault : std::uint8_t {
    request, ///< the request ends: the stages cannot be replaced
    stage,   ///< of the stage that stated it
    earlier, ///< of the host that stated this unit before: two others agree
  };
  struct objection {
    fault of{fault::request};
    std::uint32_t host{0}; ///< for `earlier`
    error reason;
  };

  /// `hashed_layers`: layers of the model, less one.
  explicit stated_units(std::uint32_t hashed_layers) : hashed_layers_(hashed_layers) {}

  /// One for each stage, or none where no other node can take a stage's place.
  void set_places(std::vector<stage_place> places) { places_ = std::move(places); }
  [[nodiscard]] bool replaceable() const noexcept { return !places_.empty(); }
  [[nodiscard]] const std::vector<stage_place>& places() const noexcept { return places_; }

  /// Takes leaves up to the first objection. Leaves that the stage may not state are passed over.
  /// `current`: the stage stated them on the path of now; what differs on an earlier one is passed
  /// over, because the stages that are left state it again.
  [[nodiscard]] std::optional<objection> add(stage_index s, bool current, const bounds& limits,
                                             const std::vector<compute::unit_leaf>& leaves);
  /// The stage stated all units of its layers over `positions`.
  [[nodiscard]] bool all_of(stage_index s, position positions) const;
  /// Drops what the host stated; the stage that takes its place states it again.
  void forget(std::uint32_t host);
  /// Drops all units and keeps the logits.
  void drop_units();

  [[nodiscard]] compute::transcript& transcript() noexcept { return transcript_; }
  [[nodiscard]] const compute::transcript& transcript() const noexcept { return transcript_; }

private:
  [[nodiscard]] bool may_state(stage_index s, const bounds& limits,
                               const compute::unit_leaf& leaf) const;
  [[nodiscard]] std::optional<objection> add_leaf(stage_index s, bool current,
                                                  const compute::unit_leaf& leaf);

  struct dispute {
    compute::unit_leaf leaf;
    std::uint32_t host{0};
  };
  std::uint32_t hashed_layers_;
  compute::transcript transcript_;
  std::vector<stage_place> places_;
  std::map<compute::unit_name, std::uint32_t> stated_by_; ///< only with places
  std::map<compute::unit_name, dispute> disputed_;        ///< at most limits::disputes_max
};

} // namespace ovir::actors
