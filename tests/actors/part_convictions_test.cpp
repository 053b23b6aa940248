// The leader of a group is accused of a unit that a member of it computed wrongly: it shows whose
// part that was, and a verifier that sees it convicts the member, and not the leader.
#include "actors/audit/hearings_actor.hpp"
#include "actors/audit/verifier_actor.hpp"
#include "actors/reuse/block_exchange_actor.hpp"
#include "messages/caf/system_config.hpp"
#include "tests/support/shared_files.hpp"
#include "tests/unit/actors/group/grouped_stage.hpp"
#include "verify/receipt_replay.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using compute::layer_weights;
using test::grouped_stage;
using test::receipt_maker;

constexpr std::size_t first_judge = 3; ///< index of a key
constexpr std::uint32_t liar = 2;      ///< member of the group
constexpr std::uint32_t bystander = 1;

/// What is sent over links that are made up.
class told_messages final : public network {
public:
  connection_id connect(const std::string&, channel, const node_id&) override { return {}; }
  result<void> send(connection_id, message_kind, std::uint32_t,
                    std::shared_ptr<const std::vector<std::byte>> bytes) override {
    if (auto message = decode_audit(*bytes)) {
      all.push_back(std::move(*message));
    }
    return {};
  }
  void close(connection_id, error) override {}
  std::vector<audit_message> all;
};

/// A node with a verifier's actor, of whatever roles.
class judged_node {
public:
  judged_node(caf::actor_system& system, const grouped_stage& stage, const secret_key& key,
              const operator_names* operators)
      : system_(system), key_(key) {
    access_list::settings settings;
    for (const std::size_t verifier : {first_judge, receipt_maker::stranger}) {
      settings.keys[stage.cast.id(verifier)] = role_set{}.add(role::verifier);
    }
    for (const std::uint32_t member : {0U, 1U, 2U}) {
      settings.keys[stage.key_of(member).id()] = role_set{}.add(role::worker);
    }
    access_ = access_list::load(*env_, settings).value();
    links_ = std::make_unique<peers>(key.id(), *access_, log_, [] { return std::uint64_t{1}; });
    links_->use(&sent_);
    around_.key = &key;
    around_.links = links_.get();
    around_.access = access_.get();
    around_.operators = operators;
    around_.models = &models_;
    around_.journal = &log_;
    around_.env = env_.get();
    around_.state = folder_.path().string();
    around_.watchers = [] { return std::vector<caf::actor>{}; };
  }
  ~judged_node() {
    caf::anon_send_exit(actor_, caf::exit_reason::kill);
    run();
    links_->use(nullptr);
  }
  judged_node(const judged_node&) = delete;
  judged_node& operator=(const judged_node&) = delete;

  void hold(const digest& id) {
    auto model = std::make_shared<catalog_model>();
    model->id = id;
    model->weights = grouped_stage::weights();
    model->held = {0, 9};
    model->kernels = &compute::kernels_reference();
    models_.put(model);
  }
  void link(const node_id& node) {
    if (node == key_.id()) {
      return;
    }
    member linked;
    linked.node = node;
    linked.health = member_health::alive;
    members_.push_back(std::move(linked));
    for (const channel kind : {channel::control, channel::data}) {
      peer_info peer;
      peer.connection.value = ++connections_;
      peer.node = node;
      peer.kind = kind;
      peer.roles = role_set{}.add(role::worker);
      peer.incoming = true;
      links_->connected(peer);
    }
  }
  /// `accused`: it hears the signer of this draft.
  void start(const caf::actor& inputs, std::optional<conviction> accused = {}) {
    around_.exchange = [inputs] { return inputs; };
    actor_ = system_.spawn(
        [](verifier_pointer self, verifier_environment around, std::optional<conviction> draft) {
          caf::behavior does = verifier_behavior(self, std::move(around));
          if (draft) {
            begin_hearing(self, std::move(*draft), {});
          }
          return does;
        },
        around_, std::move(accused));
    caf::anon_send(actor_, members_changed{std::make_shared<const std::vector<member>>(members_)});
    run();
  }
  void receive(const audit_message& message, const node_id& from, role as) {
    caf::anon_send(actor_, audit_received{from, role_set{}.add(as),
                                          std::make_shared<const std::vector<std::byte>>(
                                              encode_audit(message).value())});
    run();
  }
  audit_report report() {
    audit_report told;
    system_.spawn([&](caf::event_based_actor* self) {
      self->request(actor_, 1s, list_convictions{}).then([&told](const audit_report& r) {
        told = r;
      });
    });
    run();
    return told;
  }
  std::vector<node_id> convicted() {
    std::vector<node_id> nodes;
    for (const conviction_view& view : report().convictions) {
      nodes.push_back(view.node);
    }
    return nodes;
  }
  [[nodiscard]] bool admits(const node_id& node) const { return !access_->roles_of(node).empty(); }
  template <class Message>
  [[nodiscard]] std::vector<Message> sent() const {
    std::vector<Message> found;
    for (const audit_message& message : sent_.all) {
      if (const auto* one = std::get_if<Message>(&message)) {
        found.push_back(*one);
      }
    }
    return found;
  }
  [[nodiscard]] const node_id& id() const { return key_.id(); }
  verifier_environment& around() { return around_; }

private:
  void run() { dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()).run(); }

  caf::actor_system& system_;
  const secret_key& key_;
  test::temporary_folder folder_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  null_log log_;
  model_catalog models_;
  told_messages sent_;
  std::unique_ptr<access_list> access_;
  std::unique_ptr<peers> links_;
  verifier_environment around_;
  std::vector<member> members_;
  std::uint64_t connections_{0};
  caf::actor actor_;
};

class part_convictions : public testing::Test, public grouped_stage {
protected:
  part_convictions() : system_(config_) {
    const compute::model wrong = with_wrong(4, &layer_weights::ffn_up);
    const auto group =
        start(group_of({compute::output_cut::rows, compute::output_cut::rows, 4}), wrong, liar);
    made_.emplace(work(group->get()));
    const compute::stage_window at{stage, 1};
    const auto given = inputs(*made_, at);
    const auto again =
        compute::replay_window(made_->r, at, weights(), given, compute::kernels_reference(), runner)
            .value();
    const auto fault = compute::window_fault(made_->r, at, again).value();
    draft_.guilty = fault.signer;
    draft_.place = fault.place;
    draft_.computed = fault.computed;
    draft_.receipts = {encode_receipt(made_->r)};
    for (const std::size_t who : {first_judge, receipt_maker::stranger}) {
      const auto kernels = who == first_judge ? audit_kernels::avx2 : audit_kernels::reference;
      draft_.verdicts.push_back(give_verdict(cast.key(who), receipt_digest(draft_.receipts[0]),
                                             draft_.place, draft_.computed,
                                             {kernels, "ovir test"}));
    }
    for (std::uint32_t w = 0; w < windows; ++w) {
      const compute::stage_window window{stage, w};
      const auto bytes = inputs(*made_, window);
      const auto named = inputs_of(made_->r, weights().config, window);
      for (std::size_t i = 0; i < named.size(); ++i) {
        known_[named[i].name] = bytes[i];
      }
    }
    exchange_ = system_.spawn([this](caf::event_based_actor*) -> caf::behavior {
      return {[this](const fetch_inputs& wanted) {
        inputs_fetched found;
        for (const wanted_input& one : wanted.inputs) {
          const auto known = known_.find(one.name);
          found.bytes.push_back(known == known_.end() ? nullptr : known->second);
        }
        return found;
      }};
    });
  }
  ~part_convictions() override {
    caf::anon_send_exit(exchange_, caf::exit_reason::kill);
    dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()).run();
  }

  std::unique_ptr<judged_node> node(const secret_key& key, const operator_names* names = nullptr) {
    auto made = std::make_unique<judged_node>(system_, *this, key, names);
    made->hold(made_->r.asked.model);
    for (const std::size_t verifier : {first_judge, receipt_maker::stranger}) {
      made->link(cast.id(verifier));
    }
    made->link(key_of(0).id());
    return made;
  }
  /// What the leader says when it is accused.
  std::vector<conviction> plea(const operator_names* names = nullptr, bool keeps = true) {
    const auto leader = node(key_of(0), names);
    leader->around().parts = keeps ? &shelf : nullptr;
    leader->start(exchange_);
    leader->receive(audit_accusation{7, draft_, {}}, cast.id(first_judge), role::verifier);
    defences_ = leader->sent<audit_defence>().size();
    return leader->sent<conviction>();
  }

  system_config config_{system_config::simulated()};
  caf::actor_system system_;
  std::optional<grouped_work> made_;
  conviction draft_; ///< of the leader
  std::map<digest, compute::input_bytes> known_;
  caf::actor exchange_;
  std::size_t defences_{0};
};

TEST_F(part_convictions, name_the_member_that_was_wrong_and_excuse_its_leader) {
  ASSERT_TRUE(compute::check_conviction(draft_)) << "the leader did state that";
  ASSERT_EQ(draft_.guilty, key_of(0).id());
  const auto said = plea();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(defences_, 0U) << "it admits nothing";
  EXPECT_EQ(said[0].kind, conviction_kind::parts);
  EXPECT_EQ(said[0].guilty, key_of(liar).id());

  const auto verifier = node(cast.key(first_judge));
  verifier->around().audits = true;
  verifier->start(exchange_, draft_);
  ASSERT_EQ(verifier->report().open, 1U) << "the leader is heard";
  ASSERT_EQ(verifier->sent<audit_accusation>().size(), 1U);
  verifier->receive(said[0], key_of(0).id(), role::worker);
  EXPECT_EQ(verifier->convicted(), std::vector{key_of(liar).id()});
  EXPECT_EQ(verifier->report().open, 0U) << "and is not convicted";
  EXPECT_TRUE(verifier->admits(key_of(0).id()));
  EXPECT_TRUE(verifier->admits(key_of(bystander).id()));
  EXPECT_FALSE(verifier->admits(key_of(liar).id()));
  ASSERT_GE(verifier->sent<conviction>().size(), 1U) << "others are told";
  EXPECT_EQ(verifier->sent<conviction>()[0], said[0]);
}

TEST_F(part_convictions, are_seen_by_each_node_that_has_the_layers_and_taken_by_no_other) {
  const conviction c = plea().at(0);
  const auto seeing = node(key_of(bystander));
  seeing->start(exchange_);
  seeing->receive(c, cast.id(first_judge), role::verifier);
  EXPECT_EQ(seeing->convicted(), std::vector{c.guilty});

  judged_node blind{system_, *this, key_of(bystander), nullptr};
  blind.start(exchange_);
  blind.receive(c, cast.id(first_judge), role::verifier);
  EXPECT_TRUE(blind.convicted().empty()) << "which member it was no verdict says";
  EXPECT_EQ(blind.report().useless, 0U);
}

TEST_F(part_convictions, of_an_honest_member_are_taken_by_no_node_and_excuse_nothing) {
  conviction c = plea().at(0);
  c.guilty = key_of(bystander).id();
  ASSERT_TRUE(compute::check_conviction(c)) << "by form alone it could be any member";
  const auto verifier = node(cast.key(first_judge));
  verifier->around().audits = true;
  verifier->start(exchange_, draft_);
  verifier->receive(c, key_of(0).id(), role::worker);
  EXPECT_TRUE(verifier->convicted().empty());
  EXPECT_EQ(verifier->report().useless, 1U);
  EXPECT_EQ(verifier->report().open, 1U) << "its hearing goes on";
  // A statement of another window, or the leader itself, is none by its form.
  c.guilty = key_of(0).id();
  EXPECT_FALSE(compute::check_conviction(c));
  c.guilty = key_of(liar).id();
  const auto other = std::ranges::find_if(
      made_->statements, [](const compute::part_statement& s) { return s.run.window() == 0; });
  c.receipts.back() = compute::encode_statement(*other);
  EXPECT_FALSE(compute::check_conviction(c));
  c.receipts.back() = c.receipts.front();
  EXPECT_FALSE(compute::check_conviction(c));
  c.receipts.pop_back();
  EXPECT_FALSE(compute::check_conviction(c));
}

TEST_F(part_convictions, are_not_made_without_statements_or_of_the_leader_s_own_operator) {
  EXPECT_TRUE(plea(nullptr, false).empty());
  EXPECT_EQ(defences_, 1U) << "it admits, as one without a group does";
  const conviction c = plea().at(0);
  const operator_names names{
      std::map<node_id, std::string>{{key_of(0).id(), "one"}, {key_of(liar).id(), "one"}}};
  EXPECT_TRUE(plea(&names).empty()) << "it would not be excused";
  EXPECT_EQ(defences_, 1U);
  const auto verifier = node(cast.key(first_judge), &names);
  verifier->around().audits = true;
  verifier->start(exchange_, draft_);
  verifier->receive(c, key_of(0).id(), role::worker);
  EXPECT_EQ(verifier->convicted(), std::vector{c.guilty}) << "it did lie";
  EXPECT_EQ(verifier->report().open, 1U) << "and so did who leads it";
}

} // namespace
} // namespace ovir::actors
