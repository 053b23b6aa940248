#include "bench/ledger/side.hpp"
#include "ledger/keeper/ledger.hpp"
#include "storage/env/durable_file.hpp"
#include "storage/store/lmdb_index.hpp"

#include <functional>
#include <thread>

namespace ovir::bench {

namespace {

using namespace ledger;

node_id node_of(std::uint32_t account) {
  const digest d = hash("ovir/bench/v1/account", std::as_bytes(std::span{&account, 1}));
  return {d.bytes};
}

class ovir_side final : public side {
public:
  ovir_side(const std::string& folder, bool indexed) {
    auto opened = storage::open_durable_file(folder + "/log", true, [](std::function<void()> job) {
      std::thread{std::move(job)}.detach();
    });
    if (!opened) {
      give_up(opened.error().message);
    }
    file_ = std::move(*opened);
    genesis g;
    g.rules.actions_per_minute_max = 1'000'000'000;
    g.mint_keys = {node_of(accounts)};
    g.keepers = {node_of(accounts + 1)};
    auto made = ovir::ledger::ledger::create(*file_, g, time, {});
    if (!made) {
      give_up(made.error().message);
    }
    if (indexed) { // a ledger that was opened has one, a new one has not
      storage::derived_index_report unused;
      auto index = storage::open_lmdb_index(*machine_, folder, unused);
      if (!index) {
        give_up(index.error().message);
      }
      index_ = std::move(*index);
      ledger_options options;
      options.index = index_.get();
      open_report report;
      made = ovir::ledger::ledger::open(*file_, options, report);
      if (!made) {
        give_up(made.error().message);
      }
    }
    book_ = std::make_unique<ovir::ledger::ledger>(std::move(*made));
    std::vector<authentic_command> mints;
    for (std::uint32_t a = 0; a < accounts; ++a) {
      nodes_.push_back(node_of(a));
      mints.push_back(authentic_command::unchecked_for_test(
          mint{g.mint_keys[0], mint_target::participant, nodes_[a], first_balance, a + 1}));
    }
    run(mints);
  }

  void commit(const std::vector<transfer_asked>& batch) override {
    commands_.clear();
    for (const transfer_asked& t : batch) {
      commands_.push_back(authentic_command::unchecked_for_test(
          transfer{nodes_[t.from], nodes_[t.to], t.amount, t.number + 1}));
    }
    run(commands_);
  }
  std::uint64_t balances() override {
    std::uint64_t sum = 0;
    for (const node_id& n : nodes_) {
      sum += book_->view().find(n)->free;
    }
    return sum;
  }
  std::uint64_t transfers() override { return book_->log().size() - 1 - accounts; }

private:
  static constexpr std::uint64_t time = 1'700'000'000;

  void run(const std::vector<authentic_command>& batch) {
    const auto done = book_->commit(batch, time);
    if (!done) {
      give_up(done.error().message);
    }
    for (const command_outcome& c : done->commands) {
      if (!c.done || c.done->how != apply_outcome::applied) {
        give_up("ovir refused a transfer: " + c.why.message);
      }
    }
  }

  std::unique_ptr<durable_file> file_;
  std::unique_ptr<storage::env> machine_{storage::make_env_posix()};
  std::unique_ptr<derived_index> index_;
  std::unique_ptr<ovir::ledger::ledger> book_;
  std::vector<node_id> nodes_;
  std::vector<authentic_command> commands_;
};

} // namespace

std::unique_ptr<side> make_ovir(const std::string& folder, bool indexed) {
  return std::make_unique<ovir_side>(folder, indexed);
}

} // namespace ovir::bench
