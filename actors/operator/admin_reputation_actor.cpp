#include "actors/operator/admin_call_actor.hpp"
#include "actors/path/pathfinder_actor.hpp"
#include "messages/caf/errors.hpp"

namespace ovir::actors {

namespace {

json seen_json(const reputation_description::entry& e) {
  return {{"node", to_hex(e.seen.node)},
          {"name", e.name},
          {"steps", e.seen.steps},
          {"punctuality", e.seen.punctuality},
          {"availability", e.seen.availability},
          {"throughput", e.throughput},
          {"correctness", e.correctness},
          {"weight", e.weight},
          {"weight_hurried", e.weight_hurried}};
}

} // namespace

result<void> show_reputation(const admin_call& c, admin_arguments& args) {
  OVIR_TRY(args.done());
  const caf::actor paths = find_actor(c, "paths");
  if (!paths) {
    return fail(errc::busy, "the node is starting; ask again");
  }
  c.self->request(caf::actor_cast<pathfinder_actor>(paths), admin_ask_wait, describe_reputation{})
      .then(
          [c](const reputation_description& what) {
            json nodes = json::array();
            for (const auto& entry : what.nodes) {
              nodes.push_back(seen_json(entry));
            }
            c.done({{"nodes", std::move(nodes)}});
          },
          [c](const caf::error& e) { c.refuse(from_caf(e)); });
  return {};
}

} // namespace ovir::actors
