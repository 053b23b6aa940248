#include "messages/caf/errors.hpp"

#include <caf/actor_system_config.hpp>
#include <caf/exit_reason.hpp>
#include <caf/message.hpp>
#include <caf/sec.hpp>

namespace ovir {

caf::error make_error(errc code) { return make_error(code, std::string{to_string(code)}); }

caf::error make_error(errc code, std::string message) {
  return caf::error{static_cast<std::uint8_t>(code), error_category,
                    caf::make_message(std::move(message))};
}

caf::error to_caf(const error& e) { return make_error(e.code, e.message); }

error from_caf(const caf::error& e) {
  if (!e) {
    return {errc::internal, "an operation failed without a reason; please report this"};
  }
  if (e.category() == error_category) {
    const bool has_text = e.context().match_elements<std::string>();
    const auto code = static_cast<errc>(e.code());
    return {code, has_text ? e.context().get_as<std::string>(0) : std::string{to_string(code)}};
  }
  const std::string text = caf::actor_system_config::render(e);
  if (e == caf::sec::request_timeout) {
    return {errc::timed_out, "an actor did not answer in time (" + text + ")"};
  }
  if (e == caf::sec::request_receiver_down || e.category() == caf::atom("exit")) {
    return {errc::peer_lost, "an actor is gone (" + text + ")"};
  }
  return {errc::internal, "an actor failed: " + text};
}

bool is_normal_exit(const caf::error& reason) {
  return !reason || reason == caf::exit_reason::user_shutdown;
}

} // namespace ovir
