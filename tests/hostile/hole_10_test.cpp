// Roles that move money by their word alone: a scheduler, a verifier and a worker with keys that
// the cluster let in, at a keeper and beside honest nodes whose requests are paid meanwhile.
#include "tests/hostile/hostile_node.hpp"
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/cluster/metrics_page.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/ledger/paid_requests.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <sstream>

namespace ovir::test {
namespace {

using apps::json;
using ::testing::HasSubstr;

constexpr std::uint64_t credit = paid_cluster::credit;
constexpr std::uint8_t hostile_worker = 0x61;
constexpr std::uint8_t hostile_scheduler = 0x62;
constexpr std::uint8_t hostile_verifier = 0x63;
constexpr std::uint8_t throwaway = 0x64;

/// Canonical bytes as docs/formats/ledger-log.md and credit.md have them, by an encoder of its own.
class bytes_out {
public:
  template <class Number>
  bytes_out& number(Number value) {
    for (std::size_t i = 0; i < sizeof value; ++i) {
      out_.push_back(static_cast<std::byte>(static_cast<std::uint64_t>(value) >> 8 * i));
    }
    return *this;
  }
  template <class Array>
  bytes_out& array(const Array& bytes) {
    for (const std::uint8_t b : bytes) {
      out_.push_back(std::byte{b});
    }
    return *this;
  }
  bytes_out& block(std::span<const std::byte> bytes) {
    number(static_cast<std::uint32_t>(bytes.size()));
    out_.insert(out_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  bytes_out& all(std::span<const std::byte> bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  [[nodiscard]] std::vector<std::byte> done() { return std::move(out_); }

private:
  std::vector<std::byte> out_;
};

struct share {
  node_id node;
  std::uint64_t amount{0};
  digest statement;
};

digest some_digest(std::uint8_t first) {
  digest d;
  d.bytes.fill(0x77);
  d.bytes[0] = first;
  return d;
}

/// A member that talks to the keeper.
class liar {
public:
  liar(const std::string& address, std::uint8_t key, std::uint16_t roles)
      : key_(attacker_key(key)), member_{greeted(address, key, roles, 1),
                                         greeted(address, key, roles, 2)} {
    // A node greets a member once both channels stand: only then do its answers find their way.
    EXPECT_GT(next_message().second.size(), 0U);
  }

  [[nodiscard]] const node_id& id() const { return key_.id(); }
  [[nodiscard]] hostile_member& member() { return member_; }

  /// Learns the ledger's name.
  void meet_ledger() {
    const std::vector<std::byte> report = ask(1, bytes_out{}.array(id().key).done(), 33);
    ASSERT_GT(report.size(), 46U);
    std::uint32_t size = 0;
    std::memcpy(&size, report.data() + 42, sizeof size);
    ledger_ = hash("ovir/ledger/v1/leaf", std::span{report}.subspan(46, size));
  }

  /// Hands an entry in, signed where it needs it, and returns why it was refused.
  std::string submit(std::uint8_t kind, std::vector<std::byte> body, bool is_signed) {
    bytes_out entry;
    entry.number(std::uint64_t{0}).number(kind).all(body);
    if (is_signed) {
      const auto said = bytes_out{}.array(ledger_.bytes).number(kind).all(body).done();
      entry.array(key_.sign("ovir/ledger/v1/action", said).bytes);
    }
    const std::vector<std::byte> bytes = entry.done();
    const std::vector<std::byte> answer = ask(2, bytes_out{}.block(bytes).block({}).done(), 34, 35);
    if (answer.empty()) {
      return "no answer";
    }
    if (answer[0] == std::byte{34}) {
      return {};
    }
    return {reinterpret_cast<const char*>(answer.data()) + 15, answer.size() - 15};
  }

  /// Reserves its own credits for one stage; returns the escrow.
  digest reserve(const node_id& stage, std::uint32_t layers, std::uint64_t prompt,
                 std::uint64_t completion) {
    const digest about = some_digest(static_cast<std::uint8_t>(++nonce_));
    bytes_out body;
    body.array(id().key).array(about.bytes).number(std::uint64_t{credit}).number(prompt);
    body.number(completion).number(static_cast<std::uint64_t>(std::time(nullptr)) + 600);
    body.number(std::uint8_t{1}).array(stage.key).number(layers).number(std::uint64_t{1'000'000});
    body.number(nonce_);
    EXPECT_EQ(submit(7, body.done(), true), "");
    return hasher{"ovir/ledger/v1/escrow"}
        .update(std::as_bytes(std::span{id().key}))
        .update(about)
        .update_u64(nonce_)
        .finish();
  }
  std::string accrue(const digest& escrow, std::uint32_t window, std::uint64_t frontier,
                     const std::vector<share>& shares) {
    bytes_out body;
    body.array(escrow.bytes).array(id().key).number(window).number(frontier);
    body.number(std::uint64_t{0});
    body.number(static_cast<std::uint8_t>(shares.size()));
    for (const share& s : shares) {
      body.array(s.node.key).number(std::uint64_t{1}).number(s.amount);
      body.number(std::uint32_t{4}).number(std::uint32_t{4}).number(std::uint32_t{0});
      body.array(s.statement.bytes);
    }
    body.number(std::uint8_t{0});
    return submit(8, body.done(), true);
  }
  std::string lock(std::uint64_t amount) {
    bytes_out body;
    body.array(id().key).number(amount).number(++nonce_);
    return submit(4, body.done(), true);
  }
  std::string reroute(const digest& escrow, const node_id& stage) {
    bytes_out body;
    body.array(escrow.bytes).array(id().key).number(std::uint8_t{1});
    body.array(stage.key).number(std::uint32_t{4}).number(std::uint64_t{1'000'000});
    body.number(++nonce_);
    return submit(16, body.done(), true);
  }
  std::string fee(const digest& escrow, std::uint32_t window, std::uint32_t layer,
                  const digest& receipt, const node_id& signer, std::uint64_t amount) {
    bytes_out body;
    body.array(escrow.bytes).number(window).number(layer).array(receipt.bytes);
    body.array(signer.key).array(id().key).number(amount);
    return submit(14, body.done(), false);
  }

private:
  static constexpr std::uint8_t version = 1;

  static hostile_peer greeted(const std::string& address, std::uint8_t key, std::uint16_t roles,
                              std::uint16_t channel) {
    hostile_peer peer{address};
    EXPECT_TRUE(peer.handshake({.key = key}));
    hostile_hello hello;
    hello.channel = channel;
    hello.roles = roles;
    EXPECT_EQ(peer.introduce(hello), std::string{});
    return peer;
  }

  /// Its kind and what it says; nothing where the connection ended.
  std::pair<std::uint8_t, std::vector<std::byte>> next_message() {
    const std::vector<std::byte> header = member_.control.receive(16);
    if (header.empty()) {
      return {};
    }
    std::uint32_t size = 0;
    std::memcpy(&size, header.data(), sizeof size);
    return {static_cast<std::uint8_t>(header[4]), member_.control.receive(size)};
  }

  /// The answer: the whole message, or empty where the connection ended.
  std::vector<std::byte> ask(std::uint8_t kind, std::span<const std::byte> body,
                             std::uint8_t expected, std::uint8_t or_this = 0) {
    bytes_out message;
    message.number(kind).number(version).number(++id_).all(body);
    const std::vector<std::byte> bytes = message.done();
    EXPECT_TRUE(member_.control.message(9, static_cast<std::uint32_t>(bytes.size()), bytes));
    while (true) {
      const auto [kind_of_link, answer] = next_message();
      if (answer.empty()) {
        return {};
      }
      if (kind_of_link != 9 || answer.size() < 10) {
        continue; // gossip
      }
      std::uint64_t id = 0;
      std::memcpy(&id, answer.data() + 2, sizeof id);
      const auto what = static_cast<std::uint8_t>(answer[0]);
      if (id == id_ && (what == expected || what == or_this)) {
        return answer;
      }
    }
  }

  secret_key key_;
  hostile_member member_;
  digest ledger_;
  std::uint64_t id_{0};
  std::uint64_t nonce_{0};
};

class hole_10 : public paid_requests {
protected:
  void SetUp() override {
    paid_.emplace(paid_cluster::options{});
    test_cluster& nodes = paid_->nodes();
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      std::ofstream file{nodes.config(i), std::ios::app};
      for (const auto& [key, role] :
           {std::pair{hostile_worker, "worker"}, std::pair{hostile_scheduler, "scheduler"},
            std::pair{hostile_verifier, "verifier"}}) {
        file << fmt::format("[[access]]\nkey = \"{}\"\nroles = [\"{}\"]\n",
                            to_hex(attacker_key(key).id()), role);
      }
    }
    std::ofstream{nodes.config(nodes.index_of("front")), std::ios::app}
        << fmt::format("[metrics]\nlisten = \"127.0.0.1:{}\"\n", metrics_port_);
    nodes.start();
    ASSERT_NO_FATAL_FAILURE(wait_for_ledger());
    paid_->mint("front", 1'000 * credit);
  }

  [[nodiscard]] std::string address_of(const std::string& name) {
    const json nodes = paid_->nodes().ask(paid_->nodes().index_of(name), "nodes").at("nodes");
    for (const json& n : nodes) {
      if (n.at("self").get<bool>()) {
        return n.at("address");
      }
    }
    return {};
  }
  void mint_to(const node_id& key, std::uint64_t amount) {
    (void)paid_->nodes().ask(paid_->nodes().index_of("books"),
                             fmt::format("ledger mint {} {}", to_hex(key), amount));
  }
  /// A long request, under way while the attack is.
  [[nodiscard]] std::unique_ptr<asked_request> honest(std::uint64_t id) {
    return std::make_unique<asked_request>(
        paid_->nodes(), std::vector<std::size_t>{paid_->nodes().index_of("front")},
        paid_cluster::order(id, 100), 1);
  }
  void expect_served(asked_request& one) {
    const json answer = one.answer();
    ASSERT_EQ(one.failure(), "") << paid_->nodes().last_words();
    EXPECT_EQ(answer.at("tokens").size(), 100U);
  }
  /// 140 tokens of each honest request, a hundredth of them for assurance.
  void expect_paid(std::uint64_t requests) {
    EXPECT_TRUE(settled((1'000 - 140 * requests) * credit)) << state();
    EXPECT_TRUE(earns("books", 69'300'000U * requests)) << state();
    EXPECT_EQ(paid_->verify().at("ok"), true);
  }
  [[nodiscard]] std::string log_of(const std::string& name) {
    std::ifstream file{paid_->nodes().folder() / (name + ".log")};
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  std::uint16_t metrics_port_ = free_port();
};

TEST_F(hole_10, a_scheduler_pays_no_stranger_and_nothing_without_a_statement) {
  const auto running = honest(1);
  liar scheduler{address_of("books"), hostile_scheduler, 2};
  mint_to(scheduler.id(), 100 * credit);
  ASSERT_NO_FATAL_FAILURE(scheduler.meet_ledger());
  const node_id two = paid_->secret_of("two").id();
  const node_id stranger = attacker_key(throwaway).id();
  const digest escrow = scheduler.reserve(two, 8, 20, 40);
  const std::uint64_t share_of_30 = 29'700'000; // of 30 tokens, less a hundredth

  EXPECT_THAT(scheduler.accrue(escrow, 0, 10, {{stranger, share_of_30, some_digest(1)}}),
              HasSubstr("no stage that this request reserved for"));
  EXPECT_THAT(scheduler.accrue(escrow, 0, 10, {{scheduler.id(), share_of_30, some_digest(1)}}),
              HasSubstr("no stage that this request reserved for"));
  EXPECT_THAT(scheduler.accrue(escrow, 0, 10, {{two, share_of_30, digest{}}}),
              HasSubstr("names no statement"));
  for (const node_id& nobody : {scheduler.id(), stranger}) {
    EXPECT_THAT(scheduler.reroute(escrow, nobody), HasSubstr("no worker that this keeper knows"));
  }
  EXPECT_EQ(of(paid_->account_of(stranger), "pending"), 0U);
  EXPECT_EQ(of(paid_->account_of(scheduler.id()), "pending"), 0U);

  EXPECT_EQ(scheduler.accrue(escrow, 0, 10, {{two, share_of_30, some_digest(1)}}), "")
      << "what is right is taken";
  EXPECT_THAT(scheduler.accrue(escrow, 0, 20, {{two, share_of_30, some_digest(2)}}),
              HasSubstr("under the same id"))
      << "a window is paid for once";
  EXPECT_THAT(scheduler.accrue(escrow, 1, 10, {{two, share_of_30, some_digest(1)}}),
              HasSubstr("nothing is new"));
  ASSERT_NO_FATAL_FAILURE(expect_served(*running));
  expect_paid(1);
}

TEST_F(hole_10, a_verifier_is_paid_once_for_a_unit_and_no_more_than_the_request_gave) {
  const auto running = honest(1);
  liar scheduler{address_of("books"), hostile_scheduler, 2};
  liar verifier{address_of("books"), hostile_verifier, 8};
  mint_to(scheduler.id(), 200 * credit);
  paid_->mint("assurance", 500 * credit); // what there is to take
  ASSERT_NO_FATAL_FAILURE(scheduler.meet_ledger());
  ASSERT_NO_FATAL_FAILURE(verifier.meet_ledger());
  const node_id two = paid_->secret_of("two").id();
  const digest escrow = scheduler.reserve(two, 8, 40, 60);

  EXPECT_THAT(verifier.fee(escrow, 0, 0, some_digest(1), two, 5'000),
              HasSubstr("auditing here takes 160000000"));
  mint_to(verifier.id(), 160 * credit);
  ASSERT_EQ(verifier.lock(160 * credit), "");
  EXPECT_THAT(verifier.fee(escrow, 0, 0, some_digest(1), two, 5'000), HasSubstr("has no accrual"));
  ASSERT_EQ(scheduler.accrue(escrow, 0, 10, {{two, 49'500'000, some_digest(1)}}), "");
  // Fresh numbers, fresh receipts: it is the same unit.
  EXPECT_EQ(verifier.fee(escrow, 0, 3, some_digest(1), two, 100'000), "");
  for (std::uint8_t i = 2; i < 12; ++i) {
    EXPECT_THAT(verifier.fee(escrow, 0, 3, some_digest(i), two, 100'000), HasSubstr("the same id"));
  }
  EXPECT_THAT(verifier.fee(escrow, 9, 3, some_digest(1), two, 100'000),
              HasSubstr("has no accrual"));
  EXPECT_THAT(verifier.fee(escrow, 0, 8, some_digest(1), two, 100'000),
              HasSubstr("the path has 8"));
  EXPECT_THAT(verifier.fee(escrow, 0, 4, some_digest(1), two, 9 * credit), HasSubstr("at most"));
  // Other units, until what this request paid for audits, 500,000, is given out.
  for (std::uint32_t layer = 0; layer < 8; ++layer) {
    for (const std::uint32_t window : {0U, 1U}) {
      EXPECT_EQ(verifier.fee(escrow, window, layer, some_digest(1), two, 100'000), "");
    }
  }
  EXPECT_EQ(of(paid_->account_of(verifier.id()), "pending"), 500'000U);
  EXPECT_THAT(scheduler.fee(escrow, 1, 7, some_digest(1), two, 1), HasSubstr("pays the verifier"));
  ASSERT_NO_FATAL_FAILURE(expect_served(*running));
  expect_paid(1);
}

TEST_F(hole_10, a_worker_spends_no_credits_of_a_scheduler_with_a_log_it_invented) {
  const auto running = honest(1);
  liar worker{address_of("front"), hostile_worker, 1};
  request_log invented;
  invented.model = digest_from_hex(paid_->nodes()
                                       .ask(paid_->nodes().index_of("front"), "models")
                                       .at("models")
                                       .at(0)
                                       .at("model")
                                       .get<std::string>())
                       .value();
  invented.prompt.assign(40, 5);
  invented.max_tokens = 60;
  const auto refused = [&](std::uint64_t id) {
    const std::string line = fmt::format("{:016x}", id);
    return paid_->nodes().wait_until([&] {
      std::istringstream lines{log_of("front")};
      for (std::string one; std::getline(lines, one);) {
        if (one.find(line) != std::string::npos &&
            one.find("no scheduler reserved for it") != std::string::npos) {
          return true;
        }
      }
      return false;
    });
  };
  for (const std::uint64_t id : {0x7001U, 0x7002U, 0x7003U}) {
    invented.id = request_id{id};
    EXPECT_TRUE(worker.member().wire({invented.id, {}, 0, actors::wire_adopt{invented}}));
    EXPECT_TRUE(refused(id)) << log_of("front");
    invented.drawn.push_back({7, some_digest(1)}); // as if a lead had been at work
    ++invented.generation;
  }
  EXPECT_EQ(read_metrics(metrics_port_).at("ovir_payments_unordered_total"), 3);
  // The true request's id with another prompt: what was reserved for is its content, too.
  invented.id = request_id{1};
  EXPECT_TRUE(worker.member().wire({invented.id, {}, 0, actors::wire_adopt{invented}}));
  ASSERT_NO_FATAL_FAILURE(expect_served(*running));
  expect_paid(1);
}

} // namespace
} // namespace ovir::test
