#pragma once

#include "compute/base/parallel.hpp"
#include "compute/forward/kv_cache.hpp"
#include "messages/digest.hpp"
#include "messages/error.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

/// Where else than on the processor a segment's layers can be computed (compute/devices). A segment
/// checks inputs, gathers sessions, orders leaves and tells errors; an engine has the arithmetic.
namespace ovir::compute {

/// What an engine keeps of one request beside its `kv_cache`. The owner of the request's state may
/// drop it at any time and on any thread; without it the engine takes K and V from the cache.
class engine_state {
public:
  virtual ~engine_state() = default;
};

/// One session of a pass: its rows [row, row + count) are positions [first, first + count).
struct engine_session {
  kv_cache* kv{nullptr}; ///< positions before `first` are valid; the engine writes the others
  std::shared_ptr<engine_state>* own{nullptr}; ///< may hold null or what another engine made
  position first{0};
  std::uint32_t count{0};
  std::uint32_t row{0};
  /// Rows of whole windows whose boundaries the engine digests: [row + lead, row + lead + 32 *
  /// windows). It gives back all others.
  std::uint32_t lead{0};
  std::uint32_t windows{0};
  /// Set where the session does not go on: its rows are computed all the same, to no use.
  std::optional<error> failed{};
};

/// The rows of all sessions, and what is computed of them.
struct engine_pass {
  std::span<engine_session> sessions;
  std::uint32_t rows{0};
  /// [rows][dim]: the input of the first layer, and in its place the output of the last.
  std::span<float> stream;
  layer_range hashed;          ///< layers whose boundaries are wanted
  std::span<float> boundaries; ///< [layers hashed][rows][dim]; without rows of digested windows
  std::span<digest> digests;   ///< [layers hashed][windows of all sessions, in order]
  /// For engines that compute on the processor; also until the end of the `head` behind the pass.
  parallel_runner* runner{nullptr};
};

class layer_engine {
public:
  virtual ~layer_engine() = default;

  /// Computes all layers and writes K and V of the rows' positions to the sessions' caches. A
  /// session in which a value is not finite fails alone, as `nonfinite_in` says it. An error is the
  /// engine's own: no session has a result.
  [[nodiscard]] virtual result<void> run(engine_pass& pass) = 0;

  /// Whether it has the head, too.
  [[nodiscard]] virtual bool has_head() const noexcept = 0;
  /// The products of the head with `rows`, outputs of the last layer of [dim] each, normed:
  /// [rows.size()][vocabulary]. `ok` becomes false for a row that is not finite. Precondition:
  /// `has_head`.
  [[nodiscard]] virtual result<void> head(std::span<const float* const> rows,
                                          std::span<float> logits, std::span<std::uint8_t> ok) = 0;
};

} // namespace ovir::compute
