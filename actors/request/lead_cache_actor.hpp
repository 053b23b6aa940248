#pragma once

#include "actors/protocol/protocol_actor.hpp"
#include "actors/request/lead_actor.hpp"

#include <functional>
#include <optional>

/// A lead's dealings with the cache: it asks for what is known before it begins, names windows to
/// its stages, and hands the answer over. Without a cache all of these do nothing.
namespace ovir::actors {

/// Asks what is known of the request, and waits for others that compute its prefix. `go_on` is
/// called once, with null where the cache could not answer. False: there is no cache to ask.
[[nodiscard]] bool enter_cache(lead_pointer self, const cache_use& use,
                               std::function<void(request_entered*)> go_on);

/// Whether it was the cache this lead waits for that ended; then it goes on without.
[[nodiscard]] bool cache_down(lead_pointer self, const caf::down_msg& message);

/// Draws known from an earlier time, up to the first that is not one of this model's tokens.
void adopt_draws(lead_core& core, std::vector<drawn_token> drawn, std::uint32_t vocabulary);

/// What a stage may take from the cache and keep there.
[[nodiscard]] std::optional<reuse_order> reuse_now(lead_pointer self);

/// Tells stages and cache of windows that became known or computed. Cheap when there are none.
void tell_windows(lead_pointer self);

/// A token was drawn, the `index`th: a window of draws may be complete.
void keep_draws(lead_pointer self, std::uint32_t index);

/// Whether an answer that was kept is one to this request: of one that is signed for with its
/// receipt, which is kept for `end_effect`.
[[nodiscard]] bool may_tell(lead_pointer self, answer_record& finished, std::uint32_t vocabulary);

/// The request ended; `receipt` where one was made.
void keep_finished(lead_pointer self, const generation_report& report,
                   const result<std::vector<std::byte>>* receipt = nullptr);

} // namespace ovir::actors
