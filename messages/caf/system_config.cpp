#include "messages/caf/system_config.hpp"

#include "messages/caf/errors.hpp"
#include "messages/caf/events.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"

#include <caf/atom.hpp>
#include <caf/scheduled_actor.hpp>

#include <exception>

namespace ovir {

namespace {

std::string render_error(std::uint8_t code, caf::atom_value, const caf::message& context) {
  std::string text{to_string(static_cast<errc>(code))};
  if (context.match_elements<std::string>()) {
    text += ": " + context.get_as<std::string>(0);
  }
  return text;
}

caf::error error_of(std::exception_ptr& caught) {
  try {
    std::rethrow_exception(caught);
  } catch (const std::exception& e) {
    return make_error(errc::internal, std::string{"an actor threw: "} + e.what());
  }
}

} // namespace

system_config::system_config() {
  add_message_type<request_id>("ovir::request_id");
  add_message_type<epoch>("ovir::epoch");
  add_message_type<stage_index>("ovir::stage_index");
  add_message_type<layer_range>("ovir::layer_range");
  add_error_category(error_category, render_error);
  set("scheduler.max-throughput", messages_per_turn_max);
  set("middleman.workers", std::size_t{0});
}

system_config system_config::threads(std::size_t worker_threads) {
  system_config config;
  config.set("scheduler.policy", caf::atom("sharing"));
  config.set("scheduler.max-threads", worker_threads);
  return config;
}

system_config system_config::simulated() {
  system_config config;
  config.set("scheduler.policy", caf::atom("testing"));
  return config;
}

void make_quiet(caf::scheduled_actor* self) {
  self->set_exception_handler([](std::exception_ptr& caught) { return error_of(caught); });
  self->set_default_handler(caf::drop);
}

} // namespace ovir
