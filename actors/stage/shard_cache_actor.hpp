#pragma once

#include "actors/protocol/protocol_actor.hpp"
#include "actors/stage/shard_actor.hpp"

#include <chrono>
#include <functional>
#include <vector>

/// A shard's dealings with the cache: it takes the beginning of a request from there, and hands
/// over what it computed. Neither ever delays a step.
namespace ovir::actors {

using shard_pointer = shard_actor::stateful_pointer<shard_state>;

/// Whether more of this session may come from the cache: it computed nothing itself yet.
[[nodiscard]] bool may_reuse(shard_pointer self, const shard_core::session& session);

/// Asks for the windows behind those the session holds. What comes is queued as work of the
/// session, then `post` is called; when there is nothing, or no answer in time, `none` is called.
void ask_cache(shard_pointer self, shard_core::session& session,
               std::function<void(shard_core::session&)> none, std::function<void()> post);

/// A driver opened the session: names what is to be kept.
void begin_keeping(shard_pointer self, const shard_core::session& session);
void name_more(shard_pointer self, const to_stage<name_windows>& names);

/// A job of the session ended, after `time`: hands complete windows over.
void keep_complete(shard_pointer self, shard_core::session& session,
                   const std::vector<compute::unit_leaf>& leaves,
                   std::vector<window_origin> origins, std::chrono::nanoseconds time);

/// What audits compute windows from goes to the cache: `kept` of complete ones, and when the
/// session ends what its last, incomplete window was computed from. For requests that are signed
/// for.
void keep_window_inputs(shard_pointer self, const shard_core::session& session,
                        std::vector<window_kept> kept);
void keep_last_inputs(shard_pointer self, const shard_core::session& session);

/// Windows of the session's cache from `first` on do not fit: they are not to be found again.
void refuse_windows(shard_pointer self, shard_core::session& session, std::uint32_t first);

} // namespace ovir::actors
