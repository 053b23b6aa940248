#include "messages/evidence/known_signatures.hpp"

#include "messages/evidence/evidence.hpp"
#include "messages/limits/known.hpp"
#include "messages/short_hash.hpp"

#include <array>
#include <cstring>
#include <utility>

namespace ovir {

namespace {

signature sign_as(signed_as kind, const secret_key& key, const digest& what) {
  switch (kind) {
  case signed_as::order: return sign_order(key, what);
  case signed_as::commitment: return sign_commitment(key, what);
  case signed_as::statement: return sign_statement(key, what);
  case signed_as::link: return sign_link(key, what);
  case signed_as::closing: break;
  }
  return sign_closing(key, what);
}

/// All fields have fixed lengths.
digest name_of(signed_as kind, const node_id& by, const digest& what, const signature& s) {
  static_assert(sizeof(node_id) == node_id::size && sizeof(signature) == 64);
  std::array<std::byte, 1 + node_id::size + digest::size + sizeof(signature)> fields{};
  fields[0] = static_cast<std::byte>(kind);
  std::byte* at = fields.data() + 1;
  std::memcpy(at, by.key.data(), by.key.size());
  at += by.key.size();
  std::memcpy(at, what.bytes.data(), what.bytes.size());
  at += what.bytes.size();
  std::memcpy(at, s.bytes.data(), s.bytes.size());
  thread_local short_hasher names{"ovir/known-signature/v1"};
  return names(fields);
}

} // namespace

bool verify(signed_as kind, const node_id& by, const digest& what, const signature& s) {
  switch (kind) {
  case signed_as::order: return verify_order(by, what, s);
  case signed_as::commitment: return verify_commitment(by, what, s);
  case signed_as::statement: return verify_statement(by, what, s);
  case signed_as::link: return verify_link(by, what, s);
  case signed_as::closing: break;
  }
  return verify_closing(by, what, s);
}

signature known_signatures::sign(signed_as kind, const secret_key& key, const digest& what) {
  const signature made = sign_as(kind, key, what);
  remember(name_of(kind, key.id(), what, made));
  return made;
}

bool known_signatures::holds(signed_as kind, const node_id& by, const digest& what,
                             const signature& s) {
  const digest name = name_of(kind, by, what, s);
  if (knows(name)) {
    return true;
  }
  const bool good = verify(kind, by, what, s);
  ++verified_;
  if (good) {
    remember(name);
  }
  return good;
}

bool known_signatures::knows(const digest& name) const {
  return recent_.contains(name) || earlier_.contains(name);
}

void known_signatures::remember(const digest& name) {
  if (recent_.size() >= limits::known_signatures_max) {
    earlier_ = std::exchange(recent_, {});
  }
  recent_.insert(name);
}

} // namespace ovir
