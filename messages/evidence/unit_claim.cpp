#include "messages/evidence/unit_claim.hpp"

#include <span>

namespace ovir {

digest with_earlier(const digest& earlier, const digest& kv) {
  static const hasher empty{"ovir/unit/v1/earlier"};
  return hasher{empty}.update(earlier).update(kv).finish();
}

digest claim_digest(const digest& model, std::string_view profile, const unit_claim& what) {
  static const hasher empty{"ovir/unit/v1/claim"};
  return hasher{empty}
      .update(model)
      .update_text(profile)
      .update_u32(what.layer)
      .update_u32(what.window)
      .update(what.input)
      .update(what.earlier)
      .update(what.output)
      .update(what.kv)
      .finish();
}

namespace {

constexpr std::string_view author_domain = "ovir/unit/v1/author";

digest authored(const digest& claim, const digest& binding) {
  static const hasher empty{"ovir/unit/v1/authored"};
  return hasher{empty}.update(claim).update(binding).finish();
}

} // namespace

signature sign_unit(const secret_key& author, const digest& claim, const digest& binding) {
  const digest what = authored(claim, binding);
  return author.sign(author_domain, std::as_bytes(std::span{what.bytes}));
}

bool verify_unit(const node_id& author, const digest& claim, const digest& binding,
                 const signature& proof) {
  const digest what = authored(claim, binding);
  return verify(author, author_domain, std::as_bytes(std::span{what.bytes}), proof);
}

} // namespace ovir
