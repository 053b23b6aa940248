#include "actors/payment/journal_folder.hpp"
#include "bench/ledger/side.hpp"
#include "ledger/keeper/batch_order.hpp"
#include "ledger/keeper/ledger.hpp"
#include "ledger/raft/replica.hpp"
#include "storage/env/durable_file.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <variant>

namespace ovir::bench {

namespace {

using raft::milliseconds;

constexpr std::size_t servers = 3;

node_id joint_node_of(std::uint32_t account) {
  const digest d = hash("ovir/bench/v1/account", std::as_bytes(std::span{&account, 1}));
  return {d.bytes};
}

secret_key key_of_server(std::size_t place) {
  std::array<std::byte, secret_key::seed_size> seed{};
  std::memcpy(seed.data(), &place, sizeof(place));
  return secret_key::from_seed(seed);
}

milliseconds milliseconds_now() {
  return std::chrono::duration_cast<milliseconds>(
      std::chrono::steady_clock::now().time_since_epoch());
}

struct letter_to {
  std::size_t from{0};
  raft::letter what;
};
struct head_of {
  ledger::signed_head head;
};
struct order_of {
  std::vector<std::vector<std::byte>> entries;
};
struct stop_now {};
using word = std::variant<letter_to, head_of, order_of, stop_now>;

/// What a server is told by the others and by the client.
class mailbox {
public:
  void put(word w) {
    {
      const std::lock_guard held{lock_};
      words_.push_back(std::move(w));
    }
    came_.notify_one();
  }
  std::deque<word> take(milliseconds most) {
    std::unique_lock held{lock_};
    came_.wait_for(held, most, [this] { return !words_.empty(); });
    return std::exchange(words_, {});
  }

private:
  std::mutex lock_;
  std::condition_variable came_;
  std::deque<word> words_;
};

/// Where the client waits until most servers signed a head behind its batch.
class promise_board {
public:
  void note(std::uint64_t size) {
    {
      const std::lock_guard held{lock_};
      size_ = std::max(size_, size);
    }
    came_.notify_all();
  }
  void wait(std::uint64_t size) {
    std::unique_lock held{lock_};
    came_.wait(held, [&] { return size_ >= size; });
  }

private:
  std::mutex lock_;
  std::condition_variable came_;
  std::uint64_t size_{0};
};

/// One of three: journal, ledger and thread of its own.
class joint_server final : private raft::replica_owner {
public:
  joint_server(std::size_t place, const std::string& folder, const ledger::genesis& rules,
               std::vector<mailbox>& boxes, promise_board& promises)
      : place_(place), key_(key_of_server(place)), keepers_(rules.keepers), boxes_(boxes),
        promises_(promises), random_(place) {
    for (const std::string& path : {folder, folder + "/agreement"}) {
      if (const auto made = env_->make_folder(path); !made) {
        give_up(made.error().message);
      }
    }
    auto opened = storage::open_durable_file(folder + "/log", true, [](std::function<void()> job) {
      std::thread{std::move(job)}.detach();
    });
    if (!opened) {
      give_up(opened.error().message);
    }
    file_ = std::move(*opened);
    auto made = ledger::ledger::create(*file_, rules, joint_time, {});
    if (!made) {
      give_up(made.error().message);
    }
    book_ = std::make_unique<ledger::ledger>(std::move(*made));
    files_ = std::make_unique<actors::journal_folder>(*env_, folder);
    const raft::group of{book_->id(), static_cast<std::uint8_t>(place + 1), servers};
    if (const auto founded = raft::replica::found(*files_, of); !founded) {
      give_up(founded.error().message);
    }
    auto server = raft::replica::open(*files_, of, *this, {}, milliseconds_now(), {});
    if (!server) {
      give_up(server.error().message);
    }
    replica_ = std::move(*server);
    thread_ = std::thread{[this] { run(); }};
  }
  ~joint_server() override {
    boxes_[place_].put(stop_now{});
    thread_.join();
  }
  joint_server(const joint_server&) = delete;
  joint_server& operator=(const joint_server&) = delete;

  [[nodiscard]] bool leads() const { return leads_; }
  /// Once the threads rest: the client waits for its promise before it asks.
  [[nodiscard]] const ledger::ledger& book() const { return *book_; }
  static constexpr std::uint64_t joint_time = 1'700'000'000;

private:
  void run() {
    for (;;) {
      for (word& w : boxes_[place_].take(milliseconds{asked_.empty() ? 20 : 1})) {
        if (auto* const letter = std::get_if<letter_to>(&w)) {
          replica_->receive(milliseconds_now(), static_cast<std::uint8_t>(letter->from + 1),
                            std::move(letter->what));
        } else if (const auto* const head = std::get_if<head_of>(&w)) {
          take(head->head);
        } else if (auto* const asked = std::get_if<order_of>(&w)) {
          asked_ = std::move(asked->entries);
        } else {
          return;
        }
      }
      replica_->tick(milliseconds_now());
      go_on();
      if (const auto sound = replica_->sound(); !sound) {
        give_up(sound.error().message);
      }
      leads_ = replica_->leads();
    }
  }
  /// As keepers do: journals are cut together, behind a head that most signed, and orders wait for
  /// that.
  void go_on() {
    if (!replica_->leads()) {
      return;
    }
    if (!replica_->wants_snapshot()) {
      if (!asked_.empty()) {
        propose(std::exchange(asked_, {}));
      }
    } else if (most_.head == own_.head) {
      replica_->ask_for_snapshots(milliseconds_now());
    }
  }
  void propose(std::vector<std::vector<std::byte>> entries) {
    const ledger::batch_order order{book_->id(), book_->log().size(), joint_time,
                                    std::move(entries)};
    if (const auto done = replica_->propose(milliseconds_now(), to_bytes(order)); !done) {
      give_up(done.error().message);
    }
  }
  void take(const ledger::signed_head& head) {
    if (head.head != own_.head) {
      waiting_.push_back(head);
      return;
    }
    for (const ledger::head_signature& s : head.signatures) {
      if (!join(own_, s)) {
        give_up("a server signed another head");
      }
    }
    if (own_.signatures.size() * 2 > servers) {
      most_ = own_;
      if (leads_) {
        promises_.note(own_.head.size);
      }
    }
  }

  void send(std::uint8_t to, raft::letter what) override {
    boxes_[to - 1U].put(letter_to{place_, std::move(what)});
  }
  std::uint32_t between(std::uint32_t least, std::uint32_t most) override {
    return std::uniform_int_distribution<std::uint32_t>{least, most}(random_);
  }
  bool takes(const raft::entry& /*e*/) override { return true; }
  bool takes(const raft::snapshot& /*s*/) override { return false; }
  void agreed(const raft::place& /*where*/, std::span<const std::byte> bytes) override {
    const auto order = ledger::batch_order_from(bytes);
    if (!order) {
      give_up(order.error().message);
    }
    commands_.clear();
    for (const std::vector<std::byte>& entry : order->entries) {
      auto read = ledger::decode_entry(entry);
      if (!read) {
        give_up(read.error().message);
      }
      commands_.push_back(ledger::authentic_command::unchecked_for_test(std::move(read->what)));
    }
    const auto done = book_->commit(commands_, order->time);
    if (!done) {
      give_up(done.error().message);
    }
    for (const ledger::command_outcome& c : done->commands) {
      if (!c.done || c.done->how != ledger::apply_outcome::applied) {
        give_up("a server refused a transfer: " + c.why.message);
      }
    }
    own_ = sign(key_, book_->head());
    for (std::size_t to = 0; to < servers; ++to) {
      if (to != place_) {
        boxes_[to].put(head_of{own_});
      }
    }
    const auto early = std::exchange(waiting_, {});
    for (const ledger::signed_head& head : early) {
      if (head.head.size >= own_.head.size) {
        take(head);
      }
    }
  }
  std::optional<std::vector<std::byte>> snapshot_now() override {
    return most_.head == own_.head ? std::optional{to_bytes(most_)} : std::nullopt;
  }
  void restored(const raft::snapshot& /*s*/) override {}

  std::size_t place_;
  secret_key key_;
  std::vector<node_id> keepers_;
  std::vector<mailbox>& boxes_;
  promise_board& promises_;
  std::mt19937 random_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  std::unique_ptr<durable_file> file_;
  std::unique_ptr<ledger::ledger> book_;
  std::unique_ptr<actors::journal_folder> files_;
  std::unique_ptr<raft::replica> replica_;
  std::vector<ledger::authentic_command> commands_;
  std::vector<std::vector<std::byte>> asked_; ///< the client's next batch
  ledger::signed_head own_;
  ledger::signed_head most_;
  std::vector<ledger::signed_head> waiting_; ///< of logs that this server has not come to
  std::atomic<bool> leads_{false};
  std::thread thread_;
};

/// Three servers that agree by Raft, each with a ledger, a journal and a thread of its own;
/// clients' signatures are not checked, as on the sides beside it. A batch lasts once two signed
/// its head.
class joint_side final : public side {
public:
  explicit joint_side(const std::string& folder) : boxes_(servers) {
    ledger::genesis rules;
    rules.rules.actions_per_minute_max = 1'000'000'000;
    rules.mint_keys = {joint_node_of(accounts)};
    for (std::size_t i = 0; i < servers; ++i) {
      rules.keepers.push_back(key_of_server(i).id());
    }
    std::ranges::sort(rules.keepers);
    for (std::size_t i = 0; i < servers; ++i) {
      servers_.push_back(std::make_unique<joint_server>(i, folder + "/s" + std::to_string(i), rules,
                                                        boxes_, promises_));
    }
    size_ = 1;
    while (!leader()) {
      std::this_thread::yield();
    }
    for (std::uint32_t a = 0; a < accounts; ++a) {
      nodes_.push_back(joint_node_of(a));
    }
    entries_.clear();
    for (std::uint32_t a = 0; a < accounts; ++a) {
      add(ledger::mint{rules.mint_keys[0], ledger::mint_target::participant, nodes_[a],
                       first_balance, a + 1});
    }
    run();
  }

  void prepare(const std::vector<transfer_asked>& batch) override {
    entries_.clear();
    for (const transfer_asked& t : batch) {
      add(ledger::transfer{nodes_[t.from], nodes_[t.to], t.amount, t.number + 1});
    }
  }
  void commit(const std::vector<transfer_asked>& /*batch*/) override { run(); }
  std::uint64_t balances() override {
    std::uint64_t sum = 0;
    for (const node_id& n : nodes_) {
      sum += (*leader())->book().view().find(n)->free;
    }
    return sum;
  }
  std::uint64_t transfers() override { return (*leader())->book().log().size() - 1 - accounts; }

private:
  void add(const ledger::command& c) { ledger::encode({0, c, {}}, entries_.emplace_back()); }
  std::optional<joint_server*> leader() {
    for (const auto& s : servers_) {
      if (s->leads()) {
        return s.get();
      }
    }
    return std::nullopt;
  }
  void run() {
    const auto first = leader();
    if (!first) {
      give_up("no server leads: the machine is too busy");
    }
    for (std::size_t i = 0; i < servers; ++i) {
      if (servers_[i].get() == *first) {
        size_ += entries_.size();
        boxes_[i].put(order_of{std::move(entries_)});
        entries_ = {};
        promises_.wait(size_);
        return;
      }
    }
  }

  std::vector<mailbox> boxes_;
  promise_board promises_;
  std::vector<node_id> nodes_;
  std::vector<std::vector<std::byte>> entries_;
  std::uint64_t size_{0};
  std::vector<std::unique_ptr<joint_server>> servers_; ///< before what they use
};

} // namespace

std::unique_ptr<side> make_joint(const std::string& folder) {
  return std::make_unique<joint_side>(folder);
}

} // namespace ovir::bench
