#pragma once

#include "actors/path/pathfinder_actor.hpp"
#include "actors/path/twin_runs.hpp"
#include "actors/protocol/protocol_actor.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/limits/paths.hpp"
#include "tests/support/cluster/lying_path.hpp"
#include "tests/support/shared_files.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <gtest/gtest.h>

#include <array>
#include <map>

namespace ovir::actors {

/// Nodes 0 and 1 hold a half each, node 2 holds everything and is as fast.
class pathfinding : public ::testing::Test {
protected:
  static constexpr layer_index half = 4;
  static constexpr layer_index layers = test::lying_path::layers;
  static constexpr request_id request{7};

  explicit pathfinding(bool open = false)
      : config_(system_config::simulated()), system_(config_),
        scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())) {
    model_ = path_.make({}).asked.model;
    access_list::settings settings;
    settings.open = open;
    const std::array<layer_range, 3> held{layer_range{0, half}, layer_range{half, layers},
                                          layer_range{0, layers}};
    for (std::size_t node = 0; node < held.size(); ++node) {
      settings.keys[id(node)] = role_set{}.add(role::worker);
      member m;
      m.node = id(node);
      m.advert.roles = settings.keys[id(node)];
      m.advert.memory_bytes = m.advert.memory_free = std::uint64_t{1} << 30U;
      m.advert.held = {{model_, held[node]}};
      members_.push_back(std::move(m));
    }
    access_ = access_list::load(*env_, settings).value();
    links_ = std::make_unique<peers>(path_.cast().id(3), *access_, log_,
                                     [] { return std::uint64_t{1}; });
    for (std::size_t node = 0; node < held.size(); ++node) {
      link(node);
    }
    auto model = std::make_shared<catalog_model>();
    model->id = model_;
    model->weights = path_.weights();
    model->held = {0, layers};
    models_.put(model);
    pathfinder_environment around;
    around.self = path_.cast().id(3);
    around.links = links_.get();
    around.models = &models_;
    around.journal = &log_;
    around.unix_seconds = [this] { return unix_; };
    paths_ = system_.spawn(pathfinder_behavior, around);
    tell_members();
    lead_ = system_.spawn([this](caf::event_based_actor*) -> caf::behavior {
      return {
          [this](const path_found& news) {
            given_ = news.stages;
            attested_ = news.attested;
          },
          [this](const path_missing& news) { EXPECT_TRUE(may_lack_paths_) << news.reason.message; },
          [this](const path_lost& news) { lost_.push_back(news.reason); }};
    });
  }
  ~pathfinding() override {
    caf::anon_send_exit(lead_, caf::exit_reason::kill);
    caf::anon_send_exit(paths_, caf::exit_reason::kill);
    scheduler_.run();
  }

  [[nodiscard]] node_id id(std::size_t node) const { return path_.cast().id(node); }
  void link(std::size_t node) { link(node, id(node)); }
  void link(std::size_t number, const node_id& node) {
    for (const channel kind : {channel::control, channel::data}) {
      peer_info peer;
      peer.connection.value = 2 * number + (kind == channel::data ? 2 : 1);
      peer.node = node;
      peer.kind = kind;
      peer.roles = role_set{}.add(role::worker);
      peer.incoming = true;
      links_->connected(peer);
    }
  }
  void tell_members() {
    caf::anon_send(paths_, members_changed{std::make_shared<const std::vector<member>>(members_)});
    scheduler_.run();
  }
  void verifiers_say(std::map<node_id, std::uint32_t> reputation_ppm) {
    caf::anon_send(paths_, standing_told{id(1), std::move(reputation_ppm)});
    scheduler_.run();
  }
  layer_places path_of(layer_places preferred, request_id of = request,
                       twin_rule twin = twin_rule::alone) {
    caf::anon_send(
        paths_,
        watch_path{
            of, model_, 16, caf::actor_cast<lead_actor>(lead_), std::move(preferred), {}, twin});
    scheduler_.run();
    return where(of);
  }
  /// Its lead saw steps of one stage.
  void sees(request_id of, const layer_places& path, std::chrono::nanoseconds took) {
    for (std::uint32_t i = 0; i < limits::speed_seen_min; ++i) {
      caf::anon_send(paths_, steps_seen{of, path, {took}});
    }
    scheduler_.run();
  }
  layer_places where(request_id of) {
    layer_places found;
    system_.spawn([&, this](caf::event_based_actor* self) {
      self->request(paths_, std::chrono::seconds{1}, locate_request{of})
          .then([&found](const request_location& where) { found = where.stages; });
    });
    scheduler_.run();
    return found;
  }

  std::uint64_t unix_{1'000'000'000};
  std::vector<attestation> attested_; ///< of the path that was given last
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  const test::lying_path path_;
  digest model_;
  null_log log_;
  model_catalog models_;
  std::vector<member> members_;
  std::unique_ptr<access_list> access_;
  std::unique_ptr<peers> links_;
  system_config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  pathfinder_actor paths_;
  caf::actor lead_;
  std::vector<path_stage> given_; ///< the latest path
  bool may_lack_paths_{false};
  std::vector<error> lost_;
};

} // namespace ovir::actors
