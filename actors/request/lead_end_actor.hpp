#pragma once

#include "actors/request/lead_cache_actor.hpp"

/// How a lead ends: the answer is told, statements become a receipt, stages forget the request.
namespace ovir::actors {

/// A stage that is on the path no more, or need not be: it may forget the request.
void release(lead_pointer self, const shard_actor& stage);
/// All is computed, or the request failed. Where it is signed for, the receipt comes first, or
/// behind the answer where statements are late (`generation_request::receipt_later`).
void end_generation(lead_pointer self);
/// A frame of evidence from a stage.
void take_statements(lead_pointer self, const frame_bytes& frame);
/// The desk made the receipt, or statements are still missing.
void take_receipt(lead_pointer self, receipt_made& made);
/// A tick in which only statements are waited for.
void wait_for_statements(lead_pointer self);

} // namespace ovir::actors
