#pragma once

#include <cstdint>
#include <string_view>

/// How a stage's lookup in the cache went, for whoever asks why (`--explain-cache`).
namespace ovir::actors {

/// Units of a request that were found instead of computed, by where.
struct units_reused {
  std::uint64_t memory{0};
  std::uint64_t disk{0};
  std::uint64_t peer{0};
  friend bool operator==(const units_reused&, const units_reused&) = default;
};

/// Why no more windows came from the cache.
enum class reuse_end : std::uint8_t {
  all = 0,        ///< every window that may be reused was there
  missing = 1,    ///< the next one is not kept
  damaged = 2,    ///< the next one is not what it was kept as
  rechecked = 3,  ///< of another node, and used so often that it is computed to see if it is right
  unanswered = 4, ///< the cache did not answer, or what it gave could not be taken in
};

/// What came of the windows that lacked.
enum class fetch_choice : std::uint8_t {
  not_asked = 0, ///< nothing lacked, or this node asks nobody
  nobody = 1,    ///< claims to have the first of them
  fetched = 2,   ///< fetching was predicted to be faster, or no prediction could be made
  computed = 3,  ///< computing was predicted to be faster
  busy = 4,      ///< limits::block_fetches_max fetches were under way
};

struct fetch_told {
  fetch_choice choice{fetch_choice::not_asked};
  std::uint32_t windows{0}; ///< that others claim to have, behind those that were here
  std::uint32_t blocks{0};  ///< that lacked of these
  std::uint32_t windows_got{0};
  std::uint64_t fetch_us{0};   ///< predicted
  std::uint64_t compute_us{0}; ///< likewise; 0: what a unit takes is not known
  std::uint64_t took_us{0};    ///< of a fetch
  friend bool operator==(const fetch_told&, const fetch_told&) = default;
};

struct reuse_told {
  std::uint32_t wanted{0}; ///< windows that may come from the cache
  std::uint32_t found{0};  ///< of these, wherever
  reuse_end end{reuse_end::all};
  fetch_told others;
  friend bool operator==(const reuse_told&, const reuse_told&) = default;
};

/// Words of documents and shells, as `missing`; empty for values that are none.
[[nodiscard]] std::string_view to_string(reuse_end end) noexcept;
[[nodiscard]] std::string_view to_string(fetch_choice choice) noexcept;

} // namespace ovir::actors
