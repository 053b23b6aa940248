#include "actors/protocol/peers_actor.hpp"
#include "messages/limits/parts.hpp"
#include "node/node_groups.hpp"

#include <algorithm>
#include <span>

namespace ovir::supervision {

namespace {

std::function<void(const std::string&)> said_in(actors::log& journal) {
  return [&journal](const std::string& sentence) {
    journal.write(actors::log_level::info, std::nullopt, sentence);
  };
}

std::uint64_t drawn_from(storage::env& env) {
  std::uint64_t number = 0;
  env.random(std::as_writable_bytes(std::span{&number, 1}));
  return number;
}

bool of_one_operator(const actors::operator_names& operators, const node_id& a, const node_id& b) {
  return operators.of(a) == operators.of(b);
}

actors::group_desk::surroundings
desk_of(const node_options& options, const node_surroundings& around, actors::peers& links,
        const actors::model_catalog& models, const actors::operator_names& operators,
        actors::compute_executor& executor, std::uint64_t memory_bytes, actors::log& journal) {
  actors::group_desk::surroundings desk;
  desk.self = around.key->id();
  desk.send = [&links](const node_id& to, actors::group_links::bytes message) {
    links.send_frame(to, actors::group_target, std::move(message));
  };
  desk.executor = &executor;
  desk.find = [&models](const digest& model, layer_range layers) {
    const auto held = models.find(model, layers);
    return held == nullptr ? actors::group_desk::held_weights{}
                           : actors::group_desk::held_weights{held, &held->weights, held->kernels};
  };
  desk.log = said_in(journal);
  desk.allows = [&operators, join = options.group.join, self = desk.self](const node_id& leader) {
    return std::find(join.begin(), join.end(), leader) != join.end() ||
           of_one_operator(operators, leader, self);
  };
  desk.kv_bytes_max = memory_bytes / limits::group_memory_share;
  desk.patience = options.group.patience;
  desk.busy_read = options.link.busy_read;
  desk.checks = [env = around.env](std::uint64_t pass) {
    return pass == 1 || drawn_from(*env) % limits::group_check_every == 0;
  };
  desk.key = around.key;
  return desk;
}

} // namespace

node_groups::node_groups(const node_options& options, const node_surroundings& around,
                         actors::peers& links, const actors::model_catalog& models,
                         const actors::operator_names& operators,
                         actors::compute_executor& executor, std::uint64_t memory_bytes,
                         actors::log& journal)
    : desk_(desk_of(options, around, links, models, operators, executor, memory_bytes, journal)),
      door_(links, desk_, [&links](const node_id& node) { return links.connected(node); }),
      keeper_({around.key->id(),
               &desk_,
               &executor,
               &models,
               [&links](const node_id& node) { return links.connected(node); },
               [&operators, self = around.key->id()](const node_id& node) {
                 return of_one_operator(operators, node, self);
               },
               [env = around.env] { return drawn_from(*env); },
               said_in(journal),
               {options.group.lead, options.group.chooses}}) {}

} // namespace ovir::supervision
