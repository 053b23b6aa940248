#include "actors/request/private_request.hpp"

namespace ovir::actors {

result<void> make_private(generation_request& request, const privacy_settings& settings) {
  request.privacy = stricter(request.privacy, settings.requests);
  if (request.tier) { // what other nodes computed is not of its tier
    OVIR_TRY(check(*request.tier));
    request.cache.salt = names_salt(request.cache.salt, *request.tier);
  }
  if (request.privacy == privacy_mode::none && !request.ends) {
    return {};
  }
  request.privacy = privacy_mode::ends;
  if (request.payment != nullptr) {
    return fail(errc::invalid_argument,
                "a reservation that its client signed says in the ledger what is asked, which "
                "privacy ends does not allow; run it without --pay, or without --privacy");
  }
  if (!request.ends) {
    request.ends = ends_rule{settings.nodes, settings.first, settings.last,
                             request_salt(settings.secret, request.id)};
  }
  request.cache.salt = names_salt(request.ends->salt);
  request.cache.answers = false; // kept under a name that no other request has
  return check(*request.ends);
}

} // namespace ovir::actors
