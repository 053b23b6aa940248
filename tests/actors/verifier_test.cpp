// What a node does when others want somebody convicted: it looks itself, and believes nobody.
#include "actors/audit/addendum_shelf.hpp"
#include "actors/audit/verifier_actor.hpp"
#include "messages/caf/system_config.hpp"
#include "tests/support/cluster/lying_path.hpp"
#include "tests/support/shared_files.hpp"
#include "verify/receipt_replay.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <gtest/gtest.h>

#include <array>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using test::lie;
using test::lying_path;
using test::receipt_maker;

constexpr std::size_t judge =
    3; ///< index of a key; `receipt_maker::stranger` is the other verifier

const lying_path& path() {
  static const lying_path one;
  return one;
}

secret_key own_key() {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(std::byte{99});
  return secret_key::from_seed(seed);
}

/// Remembers what is sent over the links there are.
class sent_messages final : public network {
public:
  connection_id connect(const std::string&, channel, const node_id&) override { return {}; }
  result<void> send(connection_id connection, message_kind, std::uint32_t,
                    std::shared_ptr<const std::vector<std::byte>> bytes) override {
    if (auto token = token_from_bytes(*bytes)) {
      tokens.push_back(*token);
    } else {
      all.emplace_back(connection.value, decode_audit(*bytes).value());
    }
    return {};
  }
  void close(connection_id, error) override {}

  std::vector<std::pair<std::uint64_t, audit_message>> all;
  std::vector<join_token> tokens;
};

/// A node that admits two verifiers and the three stages, with the model or without.
class convicting : public ::testing::Test {
protected:
  convicting()
      : config_(system_config::simulated()), system_(config_),
        scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())) {
    lists({0, 1, 2}, {judge, receipt_maker::stranger});
  }
  /// Which keys the configuration names.
  void lists(const std::vector<std::size_t>& workers, const std::vector<std::size_t>& verifiers) {
    access_list::settings settings;
    settings.admins = {admin_.id()};
    for (const std::size_t verifier : verifiers) {
      settings.keys[path().cast().id(verifier)] = role_set{}.add(role::verifier);
    }
    for (const std::size_t stage : workers) {
      settings.keys[path().cast().id(stage)] = role_set{}.add(role::worker);
    }
    links_.reset();
    access_ = access_list::load(*env_, settings).value();
    links_ = std::make_unique<peers>(key_.id(), *access_, log_, [] { return std::uint64_t{1}; });
  }
  ~convicting() override {
    caf::anon_send_exit(verifier_, caf::exit_reason::kill);
    scheduler_.run();
  }

  void start(bool with_model) {
    if (with_model) {
      auto model = std::make_shared<catalog_model>();
      model->id = path().make({}).asked.model;
      model->weights = path().weights();
      model->held = {0, lying_path::layers}; // all of them were looked at
      model->kernels = &compute::kernels_reference();
      models_.put(model);
    }
    verifier_environment around;
    around.key = &key_;
    around.links = links_.get();
    around.access = access_.get();
    around.models = &models_;
    around.journal = &log_;
    around.env = env_.get();
    around.state = folder_.path().string();
    around.addenda = shelf_.get();
    around.watchers = [] { return std::vector<caf::actor>{}; };
    verifier_ = system_.spawn(verifier_behavior, std::move(around));
    scheduler_.run();
  }
  void restart(bool with_model) {
    caf::anon_send_exit(verifier_, caf::exit_reason::kill);
    scheduler_.run();
    start(with_model);
  }

  void send(const audit_message& message, std::size_t from = judge) {
    const auto bytes =
        std::make_shared<const std::vector<std::byte>>(encode_audit(message).value());
    caf::anon_send(verifier_,
                   audit_received{path().cast().id(from), role_set{}.add(role::verifier), bytes});
    scheduler_.run();
  }
  /// A join token of this key, as another node shows it.
  void show(std::size_t key, role r, std::size_t from = judge) {
    std::array<std::byte, 16> nonce{std::byte(key + 1)};
    const auto token = issue_token(admin_, path().cast().id(key), role_set{}.add(r),
                                   env_->unix_seconds() + 600, nonce);
    caf::anon_send(verifier_,
                   audit_received{path().cast().id(from), role_set{}.add(role::verifier),
                                  std::make_shared<const std::vector<std::byte>>(to_bytes(token))});
    scheduler_.run();
  }
  std::uint64_t useless() {
    std::uint64_t count = 0;
    system_.spawn([&, this](caf::event_based_actor* self) {
      self->request(verifier_, 1s, list_convictions{}).then([&count](const audit_report& report) {
        count = report.useless;
      });
    });
    scheduler_.run();
    return count;
  }
  /// Of this key, alive and linked: its data connection is number 2 * key + 2.
  [[nodiscard]] member link(std::size_t key) {
    const node_id node = path().cast().id(key);
    for (const channel kind : {channel::control, channel::data}) {
      peer_info peer;
      peer.connection.value = 2 * key + (kind == channel::data ? 2 : 1);
      peer.node = node;
      peer.kind = kind;
      peer.roles = role_set{}.add(role::worker);
      peer.incoming = true;
      links_->connected(peer);
    }
    EXPECT_TRUE(links_->connected(node));
    member m;
    m.node = node;
    m.health = member_health::alive;
    return m;
  }
  void members_are(std::vector<member> all) {
    caf::anon_send(verifier_,
                   members_changed{std::make_shared<const std::vector<member>>(std::move(all))});
    scheduler_.run();
  }
  std::vector<node_id> convicted() {
    std::vector<node_id> nodes;
    system_.spawn([&, this](caf::event_based_actor* self) {
      self->request(verifier_, 1s, list_convictions{}).then([&nodes](const audit_report& report) {
        for (const conviction_view& view : report.convictions) {
          nodes.push_back(view.node);
        }
      });
    });
    scheduler_.run();
    return nodes;
  }
  [[nodiscard]] bool admitted(const node_id& node) const {
    return !access_->roles_of(node).empty();
  }

  static conviction convict(const receipt& r, const audit_place& place, const digest& computed,
                            const std::vector<std::size_t>& judges) {
    conviction c;
    c.guilty = compute::stated_at(r, place)->signer;
    c.place = place;
    c.computed = computed;
    c.receipts = {encode_receipt(r)};
    for (const std::size_t who : judges) {
      const auto kernels = who == judges.front() ? audit_kernels::avx2 : audit_kernels::reference;
      c.verdicts.push_back(give_verdict(path().cast().key(who), receipt_digest(c.receipts[0]),
                                        place, computed, {kernels, "ovir test"}));
    }
    return c;
  }
  /// Of the second stage, which did lie.
  static conviction true_one(const std::vector<std::size_t>& judges) {
    const receipt r = path().make({lie::wrong_output, 4, 45});
    compute::serial_runner runner;
    const auto again = compute::replay(r, path().weights(), compute::bounds_of(r),
                                       compute::kernels_reference(), runner)
                           .value();
    const auto fault = compute::first_faults(r, again).at(0);
    return convict(r, fault.place, fault.computed, judges);
  }
  /// Of the first stage, which did not.
  static conviction false_one() {
    return convict(path().make({}), {audit_part::unit, 1, 1, 0}, hasher{"ovir/test/x"}.finish(),
                   {judge, receipt_maker::stranger});
  }

  test::temporary_folder folder_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  std::unique_ptr<addendum_shelf> shelf_ = addendum_shelf::open(*env_, folder_.path().string());
  const secret_key key_ = own_key();
  const secret_key admin_ = secret_key::from_seed(std::array<std::byte, 32>{std::byte{77}});
  null_log log_;
  model_catalog models_;
  std::unique_ptr<access_list> access_;
  std::unique_ptr<peers> links_;
  system_config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  caf::actor verifier_;
};

TEST_F(convicting, what_a_verifier_found_is_kept_and_what_is_forged_costs_who_sent_it) {
  start(false);
  const auto bytes =
      std::make_shared<const std::vector<std::byte>>(encode_receipt(path().make({})));
  shelf_->hold(request_id{1}, bytes, true);
  const auto said = [&](std::size_t who, std::uint16_t stage, std::uint32_t window) {
    addendum a;
    a.receipt = receipt_digest(*bytes);
    a.units = {{stage, window, audit_finding::right}};
    sign_addendum(a, path().cast().key(who));
    return audit_addendum{a};
  };
  const auto kept = [&] { return shelf_->about(receipt_digest(*bytes)).addenda; };
  send(said(judge, 0, 0));
  ASSERT_EQ(kept().size(), 1U);
  send(said(judge, 0, 0)); // told again: of no use, and no fault
  audit_addendum other = said(judge, 0, 0);
  other.what.receipt.bytes[0] ^= 1; // of a receipt that is here no more
  sign_addendum(other.what, path().cast().key(judge));
  send(other);
  EXPECT_EQ(useless(), 0U);

  send(said(0, 1, 0), 0);
  EXPECT_EQ(useless(), 1U) << "of no verifier";
  send(said(receipt_maker::stranger, 0, 0), judge);
  EXPECT_EQ(useless(), 2U) << "of another";
  send(said(judge, 200, 0));
  EXPECT_EQ(useless(), 3U) << "of a stage that is not there";
  audit_addendum changed = said(judge, 0, 1);
  changed.what.units[0].what = audit_finding::wrong;
  send(changed);
  EXPECT_EQ(useless(), 4U) << "not as it was signed";
  audit_addendum reverse = said(judge, 0, 0);
  reverse.what.units[0].what = audit_finding::wrong;
  sign_addendum(reverse.what, path().cast().key(judge));
  send(reverse);
  EXPECT_EQ(useless(), 5U) << "the opposite of what it said";
  EXPECT_EQ(kept().size(), 1U);
  send(said(receipt_maker::stranger, 0, 0), receipt_maker::stranger);
  EXPECT_EQ(kept().size(), 2U);
}

TEST_F(convicting, one_that_has_a_part_in_an_answer_audits_nothing_of_it) {
  lists({1, 2}, {0, judge});
  start(false);
  const auto bytes =
      std::make_shared<const std::vector<std::byte>>(encode_receipt(path().make({})));
  shelf_->hold(request_id{1}, bytes, true);
  addendum a;
  a.receipt = receipt_digest(*bytes);
  a.units = {{1, 0, audit_finding::right}};
  sign_addendum(a, path().cast().key(0));
  send(audit_addendum{a}, 0);
  EXPECT_EQ(useless(), 1U);
  EXPECT_TRUE(shelf_->about(a.receipt).addenda.empty());
}

TEST_F(convicting, a_liar_is_put_out_and_stays_out_after_a_restart) {
  start(true);
  const conviction c = true_one({judge, receipt_maker::stranger});
  ASSERT_EQ(c.guilty, path().cast().id(1));
  send(c);
  EXPECT_EQ(convicted(), std::vector{c.guilty});
  EXPECT_FALSE(admitted(c.guilty));
  EXPECT_TRUE(admitted(path().cast().id(0)));
  EXPECT_TRUE(admitted(path().cast().id(2))) << "an honest stage behind the liar";
  restart(true);
  EXPECT_EQ(convicted(), std::vector{c.guilty});
}

TEST_F(convicting, two_verifiers_in_league_convict_nobody_where_the_model_is) {
  start(true);
  send(false_one());
  EXPECT_TRUE(convicted().empty());
  EXPECT_TRUE(admitted(path().cast().id(0)));
}

TEST_F(convicting, a_node_without_the_model_takes_the_word_of_two_verifiers_it_admitted) {
  start(false);
  send(true_one({judge}));
  EXPECT_TRUE(convicted().empty()) << "one is not enough";
  send(true_one({judge, 2}));
  EXPECT_TRUE(convicted().empty()) << "a worker is no verifier";
  send(true_one({judge, receipt_maker::stranger}));
  EXPECT_EQ(convicted().size(), 1U);
}

TEST_F(convicting, equivocation_needs_no_verifier_and_no_model) {
  start(false);
  const receipt honest = path().make({});
  receipt other = honest;
  other.stages[2].statements[1].units[0] = hasher{"ovir/test/other"}.finish();
  path().sign_all(other);
  const auto found = compute::find_equivocation(honest, other);
  ASSERT_TRUE(found);
  send(conviction{conviction_kind::equivocation,
                  found->signer,
                  found->place,
                  {},
                  {encode_receipt(honest), encode_receipt(other)},
                  {}});
  EXPECT_EQ(convicted(), std::vector{path().cast().id(2)});
}

TEST_F(convicting, keys_that_were_never_let_in_are_no_verifiers_whatever_they_could_show) {
  lists({0, 1, 2}, {judge});
  start(false);
  send(true_one({judge, receipt_maker::stranger}));
  EXPECT_TRUE(convicted().empty());
  EXPECT_EQ(useless(), 1U);
}

// It met neither verifier: their tokens come along.
TEST_F(convicting, a_token_shows_that_a_verifier_is_one_and_is_shown_on) {
  sent_messages sent;
  links_->use(nullptr);
  lists({0, 1, 2}, {});
  links_->use(&sent);
  start(false);
  show(judge, role::verifier, 0);
  show(receipt_maker::stranger, role::worker, 0);
  const conviction c = true_one({judge, receipt_maker::stranger});
  send(c, 0);
  EXPECT_TRUE(convicted().empty()) << "one of them is a worker";
  lists({0, 1, 2}, {}); // forgets both
  links_->use(&sent);
  restart(false);
  show(judge, role::verifier, 0);
  show(receipt_maker::stranger, role::verifier, 0);
  members_are({link(2)});
  send(c, 0);
  EXPECT_EQ(convicted(), std::vector{c.guilty});
  ASSERT_EQ(sent.tokens.size(), 2U) << "before the conviction";
  EXPECT_EQ(sent.tokens[0].roles, role_set{}.add(role::verifier));
  ASSERT_EQ(sent.all.size(), 1U);
  EXPECT_EQ(sent.all[0].second, audit_message{c});
  links_->use(nullptr);
}

TEST_F(convicting, who_was_never_a_member_is_not_convicted_and_who_left_is) {
  lists({0, 2}, {judge, receipt_maker::stranger});
  start(true);
  const conviction c = true_one({judge, receipt_maker::stranger});
  send(c);
  EXPECT_TRUE(convicted().empty());
  EXPECT_EQ(useless(), 1U);
  show(1, role::worker);
  ASSERT_TRUE(access_->kick(c.guilty));
  send(c);
  EXPECT_EQ(convicted(), std::vector{c.guilty});
}

TEST_F(convicting, one_that_sends_what_is_of_no_use_is_not_listened_to_any_more) {
  start(true);
  conviction strange = false_one();
  strange.guilty = path().cast().id(receipt_maker::lead); // whom no node let in
  for (std::uint32_t i = 0; i <= limits::audit_useless_max; ++i) {
    send(strange, 0);
  }
  const conviction c = true_one({judge, receipt_maker::stranger});
  send(c, 0);
  EXPECT_TRUE(convicted().empty());
  send(c, 2);
  EXPECT_EQ(convicted(), std::vector{c.guilty}) << "from another it is taken";
}

// Who was away is told when it comes, asks for what it lacks, and gets it: once.
TEST_F(convicting, convictions_are_sent_to_those_who_missed_them) {
  sent_messages sent;
  links_->use(&sent);
  start(true);
  const conviction c = true_one({judge, receipt_maker::stranger});
  send(c);
  ASSERT_EQ(convicted().size(), 1U);
  EXPECT_TRUE(sent.all.empty()) << "nobody is there";
  members_are({link(0), link(2)});
  ASSERT_EQ(sent.all.size(), 2U);
  for (const auto& [connection, message] : sent.all) {
    EXPECT_EQ(message, audit_message(audit_known{false, {c.guilty}}));
  }
  members_are({link(0), link(2)});
  EXPECT_EQ(sent.all.size(), 2U) << "they were there before";
  sent.all.clear();

  send(audit_known{true, {}}, 0); // the one lacks it
  ASSERT_EQ(sent.all.size(), 1U);
  EXPECT_EQ(sent.all[0].first, 2U);
  EXPECT_EQ(sent.all[0].second, audit_message{c});
  send(audit_known{true, {}}, 0);
  EXPECT_EQ(sent.all.size(), 1U) << "the same is not sent again at once";
  send(audit_known{false, {c.guilty}}, 2);
  EXPECT_EQ(sent.all.size(), 1U) << "who knows as much gets nothing";
  links_->use(nullptr);
}

TEST_F(convicting, who_hears_of_a_conviction_it_lacks_asks_for_it_and_believes_nothing_yet) {
  sent_messages sent;
  links_->use(&sent);
  start(true);
  members_are({link(0)});
  send(audit_known{false, {path().cast().id(1)}}, 0);
  EXPECT_TRUE(convicted().empty());
  ASSERT_EQ(sent.all.size(), 1U);
  EXPECT_EQ(sent.all[0].second, audit_message(audit_known{true, {}}));
  send(audit_known{true, {path().cast().id(1)}}, 0);
  EXPECT_EQ(sent.all.size(), 1U) << "an answer is not answered";
  links_->use(nullptr);
}

TEST_F(convicting, what_is_no_conviction_changes_nothing) {
  start(true);
  conviction c = true_one({judge, receipt_maker::stranger});
  c.guilty = path().cast().id(0);
  send(c);
  caf::anon_send(verifier_, audit_received{path().cast().id(judge), role_set{}.add(role::verifier),
                                           std::make_shared<const std::vector<std::byte>>(64)});
  scheduler_.run();
  EXPECT_TRUE(convicted().empty());
}

} // namespace
} // namespace ovir::actors
