#include "actors/payment/joint_ledger.hpp"
#include "actors/payment/kept_ledger.hpp"
#include "bench/ledger/side.hpp"
#include "ledger/keeper/message.hpp"
#include "ledger/rules/attest.hpp"
#include "storage/env/env.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <utility>

namespace ovir::bench {

namespace {

secret_key key_of_account(std::uint32_t account) {
  std::array<std::byte, secret_key::seed_size> seed{};
  std::memcpy(seed.data(), &account, sizeof(account));
  return secret_key::from_seed(seed);
}

constexpr std::uint32_t first_keeper = accounts + 1;

/// Keepers as nodes have them, with files of their own: signatures are checked, entries agreed on,
/// applied by each and promised under a head that most signed. All on one thread, and their words
/// come at once.
class keepers_side final : public side {
public:
  keepers_side(const std::string& folder, std::size_t count) {
    ledger::genesis rules;
    rules.rules.actions_per_minute_max = 1'000'000'000;
    for (std::uint32_t a = 0; a < accounts; ++a) {
      keys_.push_back(key_of_account(a));
    }
    const secret_key minter = key_of_account(accounts);
    rules.mint_keys = {minter.id()};
    for (std::size_t i = 0; i < count; ++i) {
      keepers_.push_back({key_of_account(first_keeper + static_cast<std::uint32_t>(i)), {}, {}});
      rules.keepers.push_back(keepers_.back().key.id());
    }
    std::ranges::sort(rules.keepers);
    for (std::size_t i = 0; i < count; ++i) {
      open(keepers_[i], folder + "/k" + std::to_string(i), rules);
    }
    wait([this] { return leader() != nullptr; });
    std::vector<ledger::command> mints;
    for (std::uint32_t a = 0; a < accounts; ++a) {
      mints.emplace_back(ledger::mint{minter.id(), ledger::mint_target::participant, keys_[a].id(),
                                      first_balance, a + 1});
    }
    for (std::size_t at = 0; at < mints.size(); at += 500) { // of one sender at a time
      entries_.clear();
      for (std::size_t i = at; i < at + 500; ++i) {
        entries_.emplace_back(minter.id(), signed_entry(minter, mints[i]));
      }
      run();
    }
  }

  void prepare(const std::vector<transfer_asked>& batch) override {
    entries_.clear();
    for (const transfer_asked& t : batch) {
      const secret_key& key = keys_[t.from];
      entries_.emplace_back(key.id(), signed_entry(key, ledger::transfer{key.id(), keys_[t.to].id(),
                                                                         t.amount, t.number + 1}));
    }
  }
  void commit(const std::vector<transfer_asked>& /*batch*/) override { run(); }
  std::uint64_t balances() override {
    std::uint64_t sum = 0;
    for (const secret_key& key : keys_) {
      sum += leader()->kept->keeper().book().view().find(key.id())->free;
    }
    return sum;
  }
  std::uint64_t transfers() override {
    return leader()->kept->keeper().book().log().size() - 1 - accounts;
  }

private:
  struct one_keeper {
    secret_key key;
    std::unique_ptr<actors::kept_ledger> kept;
    std::unique_ptr<ledger::keeper_group> group;
  };
  struct word {
    node_id from;
    node_id to;
    std::vector<std::byte> bytes;
  };

  void open(one_keeper& k, const std::string& folder, const ledger::genesis& rules) {
    if (rules.keepers.size() > 1) {
      const auto made = actors::make_joint_ledger(
          *env_, folder, actors::first_entry_of(rules, env_->unix_seconds()), k.key,
          actors::joint_use::begin);
      if (!made) {
        give_up(made.error().message);
      }
    }
    actors::kept_ledger_options how;
    how.folder = folder;
    how.rules = rules.rules;
    how.mint_keys = rules.mint_keys;
    how.key = &k.key;
    how.env = env_.get();
    auto kept = actors::kept_ledger::open(std::move(how));
    if (!kept) {
      give_up(kept.error().message);
    }
    k.kept = std::move(*kept);
    if (rules.keepers.size() > 1) {
      auto group = k.kept->join_group(
          [this, from = k.key.id()](const node_id& to, std::vector<std::byte> bytes) {
            words_.push_back({from, to, std::move(bytes)});
          });
      if (!group) {
        give_up(group.error().message);
      }
      k.group = std::move(*group);
    }
  }
  [[nodiscard]] std::vector<std::byte> signed_entry(const secret_key& key,
                                                    const ledger::command& c) const {
    const digest& name = keepers_.front().kept->keeper().book().id();
    std::vector<std::byte> bytes;
    ledger::encode({0, c, ledger::sign_action(key, name, c)}, bytes);
    return bytes;
  }
  [[nodiscard]] one_keeper* leader() {
    if (keepers_.size() == 1) {
      return &keepers_.front();
    }
    const auto found = std::ranges::find_if(keepers_, [](const one_keeper& k) {
      return k.group->leads() && k.kept->keeper().has_head();
    });
    return found == keepers_.end() ? nullptr : &*found;
  }
  [[nodiscard]] raft::milliseconds now() const {
    return std::chrono::duration_cast<raft::milliseconds>(env_->now().time_since_epoch());
  }
  void take(const std::vector<ledger::keeper_answer>& answers) {
    for (const ledger::keeper_answer& a : answers) {
      if (const auto* const no = std::get_if<ledger::refusal>(&a.what.body)) {
        give_up("a keeper refused a transfer: " + no->reason.message);
      }
      promised_ += std::holds_alternative<ledger::promise>(a.what.body) ? 1 : 0;
    }
  }
  template <class Holds>
  void wait(const Holds& holds) {
    while (!holds()) {
      std::vector<ledger::keeper_answer> answers;
      for (one_keeper& k : keepers_) {
        k.group->tick(now(), answers);
      }
      while (!words_.empty()) {
        const word next = std::move(words_.front());
        words_.pop_front();
        const auto to = std::ranges::find_if(
            keepers_, [&](const one_keeper& k) { return k.key.id() == next.to; });
        to->group->receive(now(), next.from, next.bytes, answers);
      }
      for (one_keeper& k : keepers_) {
        if (k.group->can_propose() && !k.group->propose(now(), {}, answers)) {
          give_up("a keeper cannot go on");
        }
      }
      take(answers);
    }
  }
  /// What was prepared, until all of it is promised.
  void run() {
    promised_ = 0;
    std::vector<ledger::keeper_answer> answers;
    one_keeper& first = *leader();
    for (auto& [from, entry] : entries_) {
      first.kept->keeper().take(from, {}, {++questions_, ledger::submit{std::move(entry), {}}},
                                answers);
    }
    if (!first.group && !first.kept->keeper().commit(first.kept->tell_time(), {}, answers)) {
      give_up("the keeper cannot go on");
    }
    take(answers);
    wait([this] { return promised_ >= entries_.size(); });
  }

  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  std::vector<secret_key> keys_;
  std::deque<one_keeper> keepers_;
  std::deque<word> words_;
  std::vector<std::pair<node_id, std::vector<std::byte>>> entries_;
  std::size_t promised_{0};
  std::uint64_t questions_{0};
};

} // namespace

std::unique_ptr<side> make_keepers(const std::string& folder, std::size_t count) {
  return std::make_unique<keepers_side>(folder, count);
}

} // namespace ovir::bench
