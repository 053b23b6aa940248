#pragma once

#include "actors/audit/verifier_actor.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/evidence/audit.capnp.h"
#include "tests/support/cluster/lying_path.hpp"
#include "tests/support/shared_files.hpp"
#include "verify/receipt_replay.hpp"
#include "verify/window_task.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace ovir::test {

// What an attacker sends: it knows the format and owns keys, and shares no code with who reads it.

struct forged_verdict {
  std::size_t who; ///< index of a key of receipt_maker
  std::uint8_t kernels{1};
};

inline capnp::Data::Reader data_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()};
}
template <class T>
std::span<const std::byte> raw(const T& value) {
  return std::as_bytes(std::span{&value, 1});
}

template <class Write>
std::vector<std::byte> forged(const Write& write) {
  capnp::MallocMessageBuilder builder{1U << 20U};
  auto root = builder.initRoot<audit_schema::AuditMessage>();
  root.setVersion(1);
  write(root);
  const auto words = capnp::messageToFlatArray(builder);
  const auto bytes = words.asBytes();
  const auto* const first = reinterpret_cast<const std::byte*>(bytes.begin());
  return {first, first + bytes.size()};
}

inline void forge(audit_schema::Place::Builder out, const audit_place& place) {
  out.setPart(static_cast<std::uint8_t>(place.part));
  out.setWindow(place.window);
  out.setLayer(place.layer);
  out.setPosition(place.at);
}

inline void forge(audit_schema::Verdict::Builder out, const secret_key& key, std::uint8_t kernels,
                  std::span<const std::byte> receipt, const audit_place& place,
                  const digest& computed) {
  const digest about = hasher{"ovir/audit/v1/verdict-fields"}
                           .update(hash("ovir/audit/v1/receipt", receipt))
                           .update_u32(static_cast<std::uint32_t>(place.part))
                           .update_u32(place.window)
                           .update_u32(place.layer)
                           .update_u32(place.at)
                           .update(computed)
                           .finish();
  const digest said = hasher{"ovir/audit/v1/verdict-with-means"}
                          .update(about)
                          .update_u32(kernels)
                          .update_text("forged")
                          .finish();
  const node_id id = key.id();
  const signature proof = key.sign("ovir/audit/v1/verdict", raw(said));
  out.setVerifier(data_of(raw(id)));
  out.setProof(data_of(raw(proof)));
  out.setKernels(kernels);
  const std::string_view software = "forged";
  out.setSoftware(data_of(std::as_bytes(std::span{software})));
}

/// A node of the cluster with its verifier's actor alone: what is sent to it, and what it sends.
class judging_node : public ::testing::Test {
protected:
  static constexpr std::size_t first_judge = 3; ///< and `receipt_maker::stranger`: verifiers
  static constexpr std::size_t second_judge = receipt_maker::stranger;
  using role_of_node = std::optional<std::size_t>; ///< the stage whose key it has; else its own

  static const lying_path& path() {
    static const lying_path one;
    return one;
  }
  static const node_id& id(std::size_t who) { return path().cast().id(who); }
  /// The second stage lies in its second layer, the third is honest.
  static receipt lied() { return path().make({lie::wrong_output, 4, 45}); }
  static compute::stated_fault the_lie(const receipt& r) {
    return compute::first_faults(r, computed(r)).at(0);
  }
  static compute::replay_outcome computed(const receipt& r) {
    compute::serial_runner runner;
    return compute::replay(r, path().weights(), compute::bounds_of(r), compute::kernels_reference(),
                           runner)
        .value();
  }

  judging_node()
      : config_(system_config::simulated()), system_(config_),
        scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())) {}
  ~judging_node() override {
    if (links_) {
      links_->use(nullptr);
    }
    caf::anon_send_exit(verifier_, caf::exit_reason::kill);
    scheduler_.run();
  }

  void start(bool with_model, bool audits, role_of_node stage = std::nullopt) {
    if (stage) {
      key_ = &path().cast().key(*stage);
    }
    actors::access_list::settings settings;
    for (const std::size_t who : {first_judge, second_judge}) {
      settings.keys[id(who)] = role_set{}.add(role::verifier);
    }
    for (std::size_t who = 0; who < 3; ++who) {
      settings.keys[id(who)] = role_set{}.add(role::worker);
    }
    settings.keys[id(receipt_maker::lead)] = role_set{}.add(role::scheduler);
    access_ = actors::access_list::load(*env_, settings).value();
    links_ = std::make_unique<actors::peers>(key_->id(), *access_, log_,
                                             [] { return std::uint64_t{1}; });
    links_->use(&sent_);
    if (with_model) {
      auto model = std::make_shared<actors::catalog_model>();
      model->id = path().make({}).asked.model;
      model->weights = path().weights();
      model->held = {0, lying_path::layers};
      model->kernels = &compute::kernels_reference();
      models_.put(model);
    }
    actors::verifier_environment around;
    around.key = key_;
    around.links = links_.get();
    around.access = access_.get();
    around.operators = &operators_;
    around.models = &models_;
    around.journal = &log_;
    around.env = env_.get();
    around.state = folder_.path().string();
    around.software = "test";
    around.audits = audits;
    around.how.planted_ppm = 0; // what it asks about is what the test is about
    around.watchers = [] { return std::vector<caf::actor>{}; };
    verifier_ = system_.spawn(actors::verifier_behavior, std::move(around));
    scheduler_.run();
  }

  void send(std::vector<std::byte> bytes, std::size_t from,
            role_set roles = role_set{}.add(role::verifier)) {
    caf::anon_send(verifier_, actors::audit_received{id(from), roles,
                                                     std::make_shared<const std::vector<std::byte>>(
                                                         std::move(bytes))});
    scheduler_.run();
  }
  /// These keys are alive and linked.
  void there_are(const std::vector<std::size_t>& all) {
    std::vector<actors::member> members;
    for (const std::size_t who : all) {
      for (const actors::channel kind : {actors::channel::control, actors::channel::data}) {
        actors::peer_info peer;
        peer.connection.value = 2 * who + (kind == actors::channel::data ? 2 : 1);
        peer.node = id(who);
        peer.kind = kind;
        peer.roles = role_set{}.add(who < 3 ? role::worker : role::verifier);
        peer.incoming = true;
        links_->connected(peer);
      }
      actors::member m;
      m.node = id(who);
      m.health = actors::member_health::alive;
      m.advert.roles = role_set{}.add(who < 3 ? role::worker : role::verifier);
      members.push_back(m);
    }
    caf::anon_send(verifier_,
                   actors::members_changed{
                       std::make_shared<const std::vector<actors::member>>(std::move(members))});
    scheduler_.run();
  }
  /// The last of this kind that was sent to `who`.
  template <class Message>
  std::optional<Message> told(std::size_t who) const {
    for (auto at = sent_.all.rbegin(); at != sent_.all.rend(); ++at) {
      if (at->first == 2 * who + 2 && std::holds_alternative<Message>(at->second)) {
        return std::get<Message>(at->second);
      }
    }
    return std::nullopt;
  }
  std::vector<actors::conviction_view> convicted() {
    std::vector<actors::conviction_view> all;
    system_.spawn([&, this](caf::event_based_actor* self) {
      self->request(verifier_, std::chrono::seconds{1}, actors::list_convictions{})
          .then([&all](const actors::audit_report& report) { all = report.convictions; });
    });
    scheduler_.run();
    return all;
  }

  static audit_task task_at(const receipt& r, const audit_place& place) {
    return compute::task_of(r, compute::window_of(r, place).value());
  }
  static std::vector<std::byte> question(const audit_task& task, std::uint64_t number = 7) {
    return forged([&](audit_schema::AuditMessage::Builder root) {
      auto q = root.initQuestion();
      q.setNumber(number);
      auto t = q.initTask();
      t.setModel(data_of(raw(task.model)));
      t.setModelLayers(task.model_layers);
      t.setFirst(task.layers.first);
      t.setLast(task.layers.last);
      t.setPositions(task.positions);
      t.setPrompt(task.prompt);
      t.setTopP(1);
      t.setRepeatPenalty(1);
      t.setConstraint(data_of({}));
      t.setInput(data_of(raw(task.input)));
      t.setKv(data_of(std::as_bytes(std::span{task.kv})));
      q.setTokens(data_of(std::as_bytes(std::span{task.tokens})));
      q.initTaken(0);
    });
  }
  static std::vector<std::byte> shown(const receipt& r, const audit_place& place,
                                      std::uint64_t number = 7) {
    const auto bytes = encode_receipt(r);
    return forged([&](audit_schema::AuditMessage::Builder root) {
      auto s = root.initReveal();
      s.setNumber(number);
      forge(s.initPlace(), place);
      s.setReceipt(data_of(bytes));
    });
  }
  /// A judge asks about the window of a place and shows what was stated: the verdict it gets.
  std::optional<audit_vouch> verdict_on(const receipt& r, const audit_place& place) {
    sent_.all.clear();
    send(question(task_at(r, place)), first_judge);
    send(shown(r, place), first_judge);
    return told<audit_vouch>(first_judge);
  }
  /// What the window of a place comes to.
  static digest outcome_at(const receipt& r, const audit_place& place) {
    return compute::outcome_digest(compute::outcome_for(task_at(r, place), computed(r)).value());
  }
  /// `who` answers what it was asked last.
  void say_outcome(std::size_t who, const digest& outcome) {
    const auto asked = told<audit_question>(who);
    ASSERT_TRUE(asked);
    const digest said = hasher{"ovir/audit/v1/answer-fields"}
                            .update(task_digest(asked->task))
                            .update(outcome)
                            .finish();
    const signature proof = path().cast().key(who).sign("ovir/audit/v1/answer", raw(said));
    send(forged([&](audit_schema::AuditMessage::Builder root) {
           auto answer = root.initAnswer();
           answer.setNumber(asked->number);
           answer.setOutcome(data_of(raw(outcome)));
           answer.setProof(data_of(raw(proof)));
         }),
         who);
  }
  /// And gives a verdict on what it is shown.
  void vouch(std::size_t who, std::uint8_t kernels, const digest& computed) {
    const auto shown_it = told<audit_reveal>(who);
    ASSERT_TRUE(shown_it);
    send(forged([&](audit_schema::AuditMessage::Builder root) {
           auto v = root.initVouch();
           v.setNumber(shown_it->number);
           v.setComputed(data_of(raw(computed)));
           forge(v.initVerdict(), path().cast().key(who), kernels, shown_it->receipt,
                 shown_it->place, computed);
         }),
         who);
  }
  static std::vector<std::byte> accusing(const receipt& r, std::size_t guilty,
                                         const audit_place& place, const digest& computed,
                                         const std::vector<forged_verdict>& judges) {
    return forged([&](audit_schema::AuditMessage::Builder root) {
      accuse(root.initConviction(), r, guilty, place, computed, judges);
    });
  }
  static void accuse(audit_schema::Conviction::Builder c, const receipt& r, std::size_t guilty,
                     const audit_place& place, const digest& computed,
                     const std::vector<forged_verdict>& judges) {
    const auto bytes = encode_receipt(r);
    c.setKind(1);
    c.setGuilty(data_of(raw(id(guilty))));
    forge(c.initPlace(), place);
    c.setComputed(data_of(raw(computed)));
    c.initReceipts(1).set(0, data_of(bytes));
    auto verdicts = c.initVerdicts(static_cast<kj::uint>(judges.size()));
    for (kj::uint i = 0; i < verdicts.size(); ++i) {
      forge(verdicts[i], path().cast().key(judges[i].who), judges[i].kernels, bytes, place,
            computed);
    }
  }

  /// Remembers what is sent over the links there are.
  class sent_messages final : public actors::network {
  public:
    actors::connection_id connect(const std::string&, actors::channel, const node_id&) override {
      return {};
    }
    result<void> send(actors::connection_id connection, actors::message_kind, std::uint32_t,
                      std::shared_ptr<const std::vector<std::byte>> bytes) override {
      if (auto message = decode_audit(*bytes)) {
        all.emplace_back(connection.value, std::move(*message));
      }
      return {};
    }
    void close(actors::connection_id, error) override {}

    std::vector<std::pair<std::uint64_t, audit_message>> all;
  };

  temporary_folder folder_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  const secret_key* key_{&path().cast().key(receipt_maker::lead)};
  actors::null_log log_;
  actors::model_catalog models_;
  actors::operator_names operators_;
  std::unique_ptr<actors::access_list> access_;
  std::unique_ptr<actors::peers> links_;
  sent_messages sent_;
  system_config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  caf::actor verifier_;
};

} // namespace ovir::test
