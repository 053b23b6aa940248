#pragma once

#include "messages/digest.hpp"
#include "tests/swarm/chance.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace ovir::compute {
class segment;
struct session_step;
} // namespace ovir::compute

namespace ovir::swarm {

/// A worker that computes some windows from other inputs than it was sent, and signs what comes of
/// it. The linker puts this in front of its stages and its signature (tests/CMakeLists.txt), so
/// that what it lied about is known exactly. One at a time.
struct lying {
  std::size_t who{0};                ///< a host's number
  std::uint64_t most{0};             ///< windows that it lies in
  std::uint64_t one_in{1};           ///< of the steps of a pass
  std::function<bool()> now;         ///< whether it does at present
  std::function<void()> after_a_lie; ///< may be empty
};
/// Forgets what the last one did.
void begin_lying(lying how, chance draws);
void end_lying();

/// Stands in front of each pass of a stage, on any host; `real` computes it. Nothing: no one does.
using pass_of_stage =
    std::function<void(compute::segment& s, std::span<compute::session_step> steps,
                       const std::function<void()>& real)>;
void compute_with(pass_of_stage in_front);

/// Windows of positions of one request, as one stage of the liar's stated them one after another.
/// True: a lie.
using stated_windows = std::shared_ptr<const std::vector<bool>>;
struct lying_statement {
  stated_windows all;
  std::uint32_t window{0}; ///< of this one
};
/// `value`: `signed_digest` of a statement, as accruals name it. Nothing unless the liar signed it.
[[nodiscard]] std::optional<lying_statement> stated_by_liar(const digest& value);
/// Of all statements.
[[nodiscard]] std::uint64_t windows_stated() noexcept;
[[nodiscard]] std::uint64_t windows_lied() noexcept;

} // namespace ovir::swarm
