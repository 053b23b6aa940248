#include "messages/limits/audit_inputs.hpp"
#include "messages/limits/cache.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/store.hpp"
#include "storage/store/content_store.hpp"
#include "tests/swarm/swarm.hpp"

#include <algorithm>
#include <utility>

// What must hold after hours: disks within their limits, all on them sound, and a swarm that goes
// on from there (docs/SIMULATION.md).

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;
using storage::content_kind;

/// In which a keeper answers.
constexpr nanoseconds head_bound = 30s;
/// In which every node starts from what it kept; and the actors' turns that it may take all of
/// them.
constexpr nanoseconds restart_bound = 20s;
constexpr std::uint64_t restart_turns_max = 50'000;
/// Of the store's index: its tree may be half empty.
constexpr std::uint64_t index_bytes_per_entry_max = 4'096;
constexpr std::uint64_t index_bytes_least = std::uint64_t{4} << 20U;

double mib(std::uint64_t bytes) { return static_cast<double>(bytes) / (1U << 20U); }

std::uint64_t written_in(const disk& d, const std::string& room) {
  const auto found = d.written.find(room);
  return found == d.written.end() ? 0 : found->second;
}

} // namespace

std::optional<ledger::signed_head> swarm::ask_head() {
  struct reply_state {
    bool told{false};
    std::optional<ledger::signed_head> head;
  };
  const nanoseconds until = world_.now() + head_bound;
  while (world_.now() < until) {
    const auto got = std::make_shared<reply_state>();
    shell_->call(hosts_[keeper()]->how().options.listen, "ledger", {{"action", "head"}},
                 [got](const operator_shell::json& reply) {
                   got->told = true;
                   if (reply.is_object() && reply.value("ok", false)) {
                     got->head = operator_shell::head_of(reply.at("data"));
                   }
                 });
    static_cast<void>(go([&] { return got->told; }, until));
    if (got->head) {
      promised_.push_back(*got->head);
      return got->head;
    }
    static_cast<void>(go([] { return false; }, world_.now() + 1s));
  }
  violate("the keeper does not tell its head");
  return {};
}

/// The store says of nothing that it has it, and does not; and no folder outgrows its limit.
void swarm::check_disk(host& h) {
  disk& d = h.kept();
  const std::size_t who = h.how().number;
  disk_env env{d, {[] { return storage::env::time_point{}; }, [] { return 0U; }}, chance{1}};
  const auto store = storage::content_store::open(env, "state/store", {});
  if (!store) {
    return violate(fmt::format("the store of n{}: {}", who, store.error().message));
  }
  std::vector<storage::key_target> all;
  const auto seen = (*store)->visit([&](const storage::entry& e) {
    all.push_back({e.kind, e.name});
  });
  const auto reader = (*store)->reader();
  const auto lost = static_cast<std::uint64_t>(
      std::count_if(all.begin(), all.end(), [&](const storage::key_target& target) {
        return reader.read(target).outcome != storage::lookup_outcome::hit;
      }));
  if (!seen || lost > d.flips) {
    violate(fmt::format("the store of n{} lacks {} of its {} entries, with {} bits flipped", who,
                        lost, all.size(), d.flips));
  }
  const auto taken = [&](content_kind kind) { return (*store)->usage(kind).bytes_taken; };
  const std::uint64_t used =
      taken(content_kind::kv) + taken(content_kind::results) + taken(content_kind::inputs);
  const std::uint64_t blocks = d.bytes_taken("state/store/blocks");
  const std::uint64_t index = d.bytes_taken("state/store/index");
  if (taken(content_kind::kv) > h.how().options.cache.disk_bytes ||
      taken(content_kind::results) > limits::answers_disk_bytes ||
      taken(content_kind::inputs) > limits::audit_inputs_disk_bytes ||
      blocks > used + limits::store_free_bytes_kept ||
      index > all.size() * index_bytes_per_entry_max + index_bytes_least) {
    violate(fmt::format("the store of n{} outgrew its limits: {} bytes of blocks, {} of them used, "
                        "and {} of index for {} entries",
                        who, blocks, used, index, all.size()));
  }
  const std::uint64_t ledger = d.bytes_taken("state/ledger");
  const std::uint64_t requests = d.bytes_taken("state/requests/");
  bytes_.store += blocks + index;
  bytes_.store_entries += all.size();
  bytes_.ledger += ledger;
  bytes_.requests += requests;
  bytes_.other += d.bytes_taken("") - blocks - index - ledger - requests;
  bytes_.store_written += written_in(d, "store");
  bytes_.ledger_written += written_in(d, "ledger") + written_in(d, "ledger-copy");
  bytes_.requests_written += written_in(d, "requests");
}

/// From what it kept the swarm starts within bounds, and goes on with the same ledger.
void swarm::check_restart(const ledger::signed_head& before) {
  const auto turns = [this] {
    std::uint64_t sum = 0;
    for (const auto& h : hosts_) {
      sum += h->turns();
    }
    return sum;
  };
  const std::uint64_t first = turns();
  for (std::size_t who = 0; who < hosts_.size(); ++who) {
    start(who);
    if (!hosts_[who]->is_up()) {
      violate(fmt::format("n{} does not start again", who));
    }
  }
  static_cast<void>(go([] { return false; }, world_.now() + restart_bound));
  const std::uint64_t taken = turns() - first;
  if (taken > restart_turns_max) {
    violate(fmt::format("starting again took {} turns", taken));
  }
  const auto after = ask_head();
  if (after && (after->head.ledger != before.head.ledger || after->head.size < before.head.size)) {
    violate(
        fmt::format("the ledger had {} entries, and has {}", before.head.size, after->head.size));
  }
  out_.found.push_back(fmt::format("started again in {} turns; {} entries, then {}", taken,
                                   before.head.size, after ? after->head.size : 0));
}

/// What was answered once is answered again.
void swarm::check_again() {
  const auto all_over = [this] {
    return std::all_of(clients_.begin(), clients_.end(), [](const auto& c) { return c->over(); });
  };
  ask again = plan_.asks.front();
  again.client = clients_.size();
  again.hang_up_after = again.cancel_after = 0;
  clients_.push_back(std::make_shared<client>(world_, doors_, gateways_, again, history_));
  const auto& c = *clients_.back();
  clients_.back()->begin();
  static_cast<void>(go(all_over, world_.now() + request_bound));
  if (!c.over() || c.text() != model_.text(model_.answer(again.wanted))) {
    violate("a request is not answered again after the restart: " + c.trouble());
  }
}

void swarm::check_grown() {
  const auto before = ask_head();
  for (const auto& h : hosts_) {
    h->crash(crash_kind::process);
    check_disk(*h);
  }
  const bytes_kept& b = bytes_;
  out_.found.push_back(fmt::format(
      "on disks {:.1f} MiB: store {:.1f} in {} entries, ledger {:.1f}, request logs {:.3f}, "
      "other {:.1f}",
      mib(b.store + b.ledger + b.requests + b.other), mib(b.store), b.store_entries, mib(b.ledger),
      mib(b.requests), mib(b.other)));
  out_.found.push_back(
      fmt::format("ever written: store {:.1f} MiB, ledger {:.1f}, request logs {:.1f}",
                  mib(b.store_written), mib(b.ledger_written), mib(b.requests_written)));
  if (before) {
    check_restart(*before);
    check_again();
  }
}

} // namespace ovir::swarm
