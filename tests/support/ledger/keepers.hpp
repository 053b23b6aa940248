#pragma once

#include "ledger/keeper/keeper.hpp"
#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/split.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"
#include "tests/support/model/receipt_maker.hpp"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ovir::ledger {

/// Tests with the keeper of a ledger that examined the convictions it is told to know. In the
/// ledger's namespace, whose words it uses.
class keepers : public ::testing::Test {
protected:
  using ledger_world = test::ledger_world;
  using receipt_maker = test::receipt_maker;

  keepers() { open(true); }

  void open(bool make) {
    keeper_.reset();
    if (make) {
      (void)ledger::create(file_, ledger_world::rules(), ledger_world::t0, {}).value();
    }
    log_report report;
    keeper_surroundings around;
    around.key = &key_;
    around.keep_evidence = [this](const digest& name, std::span<const std::byte> bytes) {
      kept_[name] = {bytes.begin(), bytes.end()};
      return result<void>{};
    };
    around.roles_of = [](const node_id& node) {
      return node == ledger_world::node(120) || node == ledger_world::node(121) ||
                     node == ledger_world::node(122)
                 ? role_set{}.add(role::verifier)
                 : role_set{};
    };
    around.conviction_of = [this](const convict& x) -> result<std::vector<std::byte>> {
      const auto found = examined_.find(x.evidence);
      return found != examined_.end()
                 ? result<std::vector<std::byte>>{found->second}
                 : fail(errc::busy, "the conviction was not examined here yet");
    };
    around.operators = [](const node_id& node) {
      return node == ledger_world::node(122) ? to_hex(ledger_world::node(120)) : to_hex(node);
    };
    keeper_.emplace(keeper::make(ledger::open(file_, {}, report).value(), around).value());
    id_ = keeper_->book().id();
  }

  static std::vector<std::byte> bytes_of(const command& c, const signature& proof = {}) {
    std::vector<std::byte> bytes;
    encode({0, c, proof}, bytes);
    return bytes;
  }
  std::vector<std::byte> signed_by(std::uint8_t who, const command& c) {
    return bytes_of(c, sign_action(ledger_world::key(who), id_, c));
  }
  /// Sends it as node `from` and returns what the keeper answers after a batch.
  message ask(std::uint8_t from, std::vector<std::byte> entry, std::vector<std::byte> evidence = {},
              role_set roles = role_set{}.add(role::scheduler)) {
    std::vector<keeper_answer> answers;
    keeper_->take(ledger_world::node(from), roles,
                  {++message_, submit{std::move(entry), std::move(evidence)}}, answers);
    EXPECT_TRUE(keeper_->commit(now_, {}, answers));
    for (const keeper_answer& a : answers) {
      if (a.what.id == message_) {
        EXPECT_EQ(a.to, ledger_world::node(from));
        return a.what;
      }
    }
    ADD_FAILURE() << "no answer";
    return {};
  }
  static std::string refused(const message& m) {
    const auto* const r = std::get_if<refusal>(&m.body);
    return r == nullptr ? std::string{} : r->reason.message;
  }
  void mint(std::uint8_t to, std::uint64_t amount) {
    const command c =
        ovir::ledger::mint{ledger_world::node(ledger_world::minter), mint_target::participant,
                           ledger_world::node(to), amount, ++nonce_};
    EXPECT_EQ(refused(ask(9, signed_by(ledger_world::minter, c))), "");
  }
  reserve reservation(std::uint8_t payer, std::uint64_t prompt = 70) {
    reserve r;
    r.payer = ledger_world::node(payer);
    r.about = about_of(terms_of(cast_.honest().asked));
    r.rate = credit;
    r.prompt = prompt;
    r.completion_max = 30;
    r.expires = ledger_world::t0 + 500;
    for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
      r.stages.push_back({cast_.id(i), 3, 1'000'000});
    }
    r.nonce = ++nonce_;
    return r;
  }
  static const node_id& driver_of(const reserve& r) {
    return r.scheduler.empty() ? r.payer : r.scheduler;
  }
  static settle end_of(const reserve& r) { return {escrow_of(r), driver_of(r)}; }
  /// Everything up to a frontier, in equal parts.
  accrue everything(const reserve& r, std::uint64_t frontier) {
    accrue a;
    a.request = escrow_of(r);
    a.scheduler = driver_of(r);
    a.frontier = frontier;
    const std::uint64_t gross = (r.prompt + frontier) * credit;
    std::vector<weighted> weights;
    std::map<node_id, std::uint64_t> order;
    for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
      weights.push_back({cast_.id(i), 1});
    }
    const auto parts =
        split(gross - scaled(gross, ledger_world::rules().rules.fee_ppm, 1'000'000), weights)
            .value();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      a.computed.push_back({weights[i].participant, 1, parts[i], 3, 3, 0,
                            ledger_world::statement(r.nonce << 32U | frontier << 8U | i)});
    }
    return a;
  }

  test::memory_file file_;
  secret_key key_ = ledger_world::key(ledger_world::keeper);
  std::optional<keeper> keeper_;
  digest id_;
  std::map<digest, std::vector<std::byte>> kept_;
  std::map<digest, std::vector<std::byte>> examined_; ///< by this node's verifier, by evidence
  receipt_maker cast_;
  std::uint64_t message_{0};
  std::uint64_t nonce_{0};
  std::uint64_t now_{ledger_world::t0 + 1};
};

} // namespace ovir::ledger
