#include "actors/operator/admin_call_actor.hpp"
#include "actors/weights/fetcher_actor.hpp"
#include "actors/weights/weights_source_actor.hpp"
#include "messages/caf/errors.hpp"

namespace ovir::actors {

namespace {

json fetch_json(const fetch_progress& fetch) {
  json sources = json::array();
  for (const auto& [node, report] : fetch.sources) {
    sources.push_back({{"node", to_hex(node)},
                       {"bytes", report.bytes},
                       {"drops", report.drops},
                       {"joined", report.joined},
                       {"fault", report.fault.empty() ? json(nullptr) : json(report.fault)}});
  }
  const bool known = fetch.layers.size() > 0;
  return {{"model", to_hex(fetch.model)},
          {"first_layer", known ? json(fetch.layers.first) : json(nullptr)},
          {"last_layer", known ? json(fetch.layers.last - 1) : json(nullptr)},
          {"state", fetch.state},
          {"bytes", fetch.bytes},
          {"present_bytes", fetch.present_bytes},
          {"local_bytes", fetch.local_bytes},
          {"asked_bytes", fetch.count.asked_bytes},
          {"received_bytes", fetch.count.received_bytes},
          {"verified_bytes", fetch.count.verified_bytes},
          {"wrong_bytes", fetch.count.wrong_bytes},
          {"asked_again_bytes", fetch.count.asked_again_bytes},
          {"in_flight_max_bytes", fetch.count.in_flight_max},
          {"sources", std::move(sources)},
          {"reason", fetch.reason.empty() ? json(nullptr) : json(fetch.reason)}};
}

void with_served(const admin_call& c, json fetches) {
  const caf::actor source = find_actor(c, "source");
  if (!source) {
    return c.refuse(fail(errc::busy, "the node is starting; ask again"));
  }
  c.self->request(source, admin_ask_wait, describe_source{})
      .then(
          [c, fetches = std::move(fetches)](const source_totals& totals) {
            c.done({{"fetches", fetches},
                    {"served_bytes", totals.served_bytes},
                    {"served_pieces", totals.served_pieces},
                    {"refused", totals.refused},
                    {"askers", totals.askers}});
          },
          [c](const caf::error& e) { c.refuse(from_caf(e)); });
}

} // namespace

result<void> show_fetches(const admin_call& c, admin_arguments& args) {
  OVIR_TRY(args.done());
  const caf::actor fetcher = find_actor(c, "fetcher");
  if (!fetcher) { // no worker: it only serves
    with_served(c, json::array());
    return {};
  }
  c.self->request(fetcher, admin_ask_wait, list_fetches{})
      .then(
          [c](const fetch_list& list) {
            json fetches = json::array();
            for (const fetch_progress& fetch : list.fetches) {
              fetches.push_back(fetch_json(fetch));
            }
            with_served(c, std::move(fetches));
          },
          [c](const caf::error& e) { c.refuse(from_caf(e)); });
  return {};
}

} // namespace ovir::actors
