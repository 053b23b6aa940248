#pragma once

#include "messages/evidence/audit.capnp.h"
#include "messages/evidence/audit_task.hpp"

#include <cstddef>

/// A task within a message about audits. For the source files of both alone.
namespace ovir::evidence_codec {

/// No more bytes than these are needed.
[[nodiscard]] std::size_t task_bytes(const audit_task& task);
/// But for its tokens, which lie beside it.
void write_task(audit_schema::Task::Builder out, const audit_task& task);
[[nodiscard]] result<audit_task> read_task(audit_schema::Task::Reader from,
                                           capnp::Data::Reader tokens);

} // namespace ovir::evidence_codec
