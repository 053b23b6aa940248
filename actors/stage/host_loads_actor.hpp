#pragma once

#include "actors/stage/stage_host_actor.hpp"

/// What a host does for schedulers that order layers to be fetched or dropped here
/// (docs/adr/0004-models.md).
namespace ovir::actors {

/// Begins it, once for all who order the same; or refuses.
void take_load(host_pointer self, const node_id& from, request_id request, const wire_load& order);
/// Who ordered it hears of it only where it failed: the advert says what is held.
void load_ended(host_pointer self, const host_load_ended& end);
/// Drops them at once, or refuses: the owner's layers stay.
void take_drop(host_pointer self, const node_id& from, const wire_unload& order);
void drop_ended(host_pointer self, const host_drop_ended& end);

} // namespace ovir::actors
