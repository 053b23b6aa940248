#pragma once

#include "messages/evidence/audit.capnp.h"
#include "messages/evidence/audit.hpp"
#include "messages/evidence/evidence_codec.hpp"

/// How addenda are written, alone and in messages about audits. For their source files alone.
namespace ovir::evidence_codec {

[[nodiscard]] inline capnp::Data::Reader data_of_key(const node_id& id) {
  return data_of(std::as_bytes(std::span{id.key}));
}
[[nodiscard]] inline result<audit_kernels> kernels_from(std::uint8_t value) {
  if (value < 1 || value > 4) {
    return fail(errc::unsupported, "kernels of kind {} are not known to this version", value);
  }
  return static_cast<audit_kernels>(value);
}

/// No more words than these are needed.
[[nodiscard]] std::size_t words_of_addendum(const addendum& a);
void write_addendum(audit_schema::Addendum::Builder out, const addendum& a);
[[nodiscard]] result<addendum> read_addendum(audit_schema::Addendum::Reader in,
                                             std::size_t present);

} // namespace ovir::evidence_codec
