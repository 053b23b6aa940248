#include "actors/weights/fetch_order.hpp"

#include "actors/weights/fetch_layers.hpp"

#include <algorithm>

namespace ovir::actors {

std::uint64_t room_for(const fetch_order& order, const fetch_room& all,
                       const model_catalog& models) {
  if (order.spare) {
    return all.spares - std::min(all.spares, models.spare_bytes());
  }
  std::uint64_t room = all.memory;
  if (order.beside) {
    for (const auto& part : models.all()) {
      room -= std::min(room, part->held_bytes);
    }
  }
  return room;
}

result<void> check_room(const fetch_order& order, layer_range layers, std::uint64_t bytes,
                        std::uint64_t room) {
  if (bytes <= room) {
    return {};
  }
  if (order.spare) {
    return fail(errc::over_limit,
                "{} have {} MiB and the node's disk has room for {} MiB of spare layers; raise "
                "fetch.spare_mib",
                words_of(layers), bytes >> 20U, room >> 20U);
  }
  return fail(errc::over_limit,
              "{} have {} MiB and the node may use {}{}; hold fewer or raise limits.memory_mib",
              words_of(layers), bytes >> 20U, room >> 20U,
              order.beside ? " beside what it holds" : "");
}

std::vector<const member*> possible_sources(const digest& model, const std::vector<member>& members,
                                            const node_id& self) {
  std::vector<const member*> list;
  for (const member& m : members) {
    if (m.node != self && !m.advert.address.empty() &&
        (m.health == member_health::alive || m.health == member_health::suspect)) {
      list.push_back(&m);
    }
  }
  const auto of_model = [&](const held_segment& segment) { return segment.model == model; };
  std::stable_partition(list.begin(), list.end(), [&](const member* m) {
    const node_advert& a = m->advert;
    return std::any_of(a.held.begin(), a.held.end(), of_model) ||
           std::any_of(a.spares.begin(), a.spares.end(), of_model);
  });
  return list;
}

} // namespace ovir::actors
