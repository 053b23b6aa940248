#include "tests/support/ledger/raft_world.hpp"

#include "messages/limits/raft.hpp"
#include "messages/wire/bytes.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ovir::test {

namespace {

constexpr raft::milliseconds step{10};
constexpr raft::milliseconds patience{60'000};

/// How many commands, and a digest of them.
std::vector<std::byte> stands_for(std::span<const std::vector<std::byte>> commands) {
  std::vector<std::byte> all;
  for (const std::vector<std::byte>& c : commands) {
    all.insert(all.end(), c.begin(), c.end());
  }
  std::vector<std::byte> out;
  byte_writer w{out};
  w.number(static_cast<std::uint64_t>(commands.size()));
  w.write(hash("ovir/test/raft", all));
  return out;
}

} // namespace

class raft_world::node final : public raft::replica_owner {
public:
  node(raft_world& of, std::uint8_t number) : world(of), self(number) {}

  void send(std::uint8_t to, raft::letter what) override { world.post(self, to, what); }
  std::uint32_t between(std::uint32_t least, std::uint32_t most) override {
    return std::uniform_int_distribution<std::uint32_t>{least, most}(world.chance);
  }
  bool takes(const raft::entry& e) override { return !world.refuses || !world.refuses(e); }
  bool takes(const raft::snapshot& s) override {
    const std::size_t count = count_of(s);
    return count <= world.truth_.size() && s.bytes == stands_for(commands_of_truth(count));
  }
  void agreed(const raft::place& where, std::span<const std::byte> bytes) override {
    const command next{where, {bytes.begin(), bytes.end()}};
    const std::size_t at = told.size();
    if (at < world.truth_.size() && world.truth_[at] != next) {
      world.break_rule(fmt::format("server {} was told another command {}", self, at));
    }
    if (at == world.truth_.size()) {
      for (const command& c : world.truth_) {
        if (c.bytes == next.bytes) {
          world.break_rule(fmt::format("command {} was agreed on twice", at));
        }
      }
      world.truth_.push_back(next);
    }
    told.push_back(next);
    const auto waiting = mine.find(where);
    if (waiting != mine.end()) {
      world.acknowledged_ += waiting->second == next.bytes ? 1 : 0;
      mine.erase(waiting);
    }
  }
  std::optional<std::vector<std::byte>> snapshot_now() override {
    if (between(0, 3) == 0) {
      return std::nullopt; // not written yet
    }
    written = told.size();
    return stands_for(commands_of_truth(told.size()));
  }
  void restored(const raft::snapshot& s) override {
    const std::size_t count = count_of(s);
    if (count < told.size()) {
      world.break_rule(fmt::format("server {} was to forget commands", self));
    }
    ++world.restored_;
    told.assign(world.truth_.begin(), world.truth_.begin() + static_cast<std::ptrdiff_t>(count));
    written = count;
  }

  static std::size_t count_of(const raft::snapshot& s) {
    byte_reader r{s.bytes};
    return static_cast<std::size_t>(r.number<std::uint64_t>());
  }
  [[nodiscard]] std::vector<std::vector<std::byte>> commands_of_truth(std::size_t count) const {
    std::vector<std::vector<std::byte>> out;
    for (std::size_t i = 0; i < count; ++i) {
      out.push_back(world.truth_[i].bytes);
    }
    return out;
  }

  raft_world& world;
  std::uint8_t self;
  raft_disk disk;
  std::unique_ptr<raft::replica> replica;
  std::vector<command> told;
  std::size_t written{0};                             ///< of these, surely
  std::map<raft::place, std::vector<std::byte>> mine; ///< proposed, not agreed on yet
};

raft_world::raft_world(std::uint64_t seed, std::uint8_t servers) : chance(seed), servers_(servers) {
  for (std::uint8_t n = 1; n <= servers; ++n) {
    nodes_.push_back(std::make_unique<node>(*this, n));
    const auto made = raft::replica::found(at(n).disk, group_of(n));
    OVIR_CHECK(made, "a disk that works");
  }
  for (std::uint8_t n = 1; n <= servers; ++n) {
    start(n);
  }
}

raft_world::~raft_world() = default;

raft::group raft_world::group_of(std::uint8_t server) const {
  return {hash("ovir/test/raft", {}), server, servers_};
}

void raft_world::start(std::uint8_t server) {
  node& n = at(server);
  if (n.replica) {
    return;
  }
  const raft::place known = n.told.empty() ? raft::place{} : n.told.back().where;
  auto opened = raft::replica::open(n.disk, group_of(server), n, {}, now_, known);
  if (opened) {
    n.replica = *std::move(opened);
    watch(n);
  } else if (n.disk.calls_until_failure == 0) {
    n.disk.cut_power(chance);
  } else {
    break_rule(fmt::format("server {} does not start: {}", server, opened.error().message));
  }
}

void raft_world::stop(std::uint8_t server) {
  node& n = at(server);
  n.replica.reset();
  n.mine.clear();
  n.disk.cut_power(chance);
  const std::size_t gone = chance() % 4;
  n.told.resize(std::max(n.written, n.told.size() - std::min(gone, n.told.size())));
}

void raft_world::fail_disk(std::uint8_t server, std::uint64_t calls) {
  at(server).disk.calls_until_failure = calls;
}

void raft_world::lose_disk(std::uint8_t server) {
  stop(server);
  at(server).disk.lose();
  if (chance() % 2 == 0) { // and what its owner made of it
    at(server).told.clear();
    at(server).written = 0;
  }
}

bool raft_world::is_up(std::uint8_t server) const { return at(server).replica != nullptr; }
raft::replica& raft_world::replica_of(std::uint8_t server) { return *at(server).replica; }
raft_disk& raft_world::disk_of(std::uint8_t server) { return at(server).disk; }
std::size_t raft_world::agreed_at(std::uint8_t server) const { return at(server).told.size(); }

std::uint8_t raft_world::leader() const {
  for (const auto& n : nodes_) {
    if (n->replica && n->replica->leads()) {
      return n->self;
    }
  }
  return 0;
}

bool raft_world::propose() {
  const std::uint8_t to = leader();
  return to != 0 && propose_at(to);
}

bool raft_world::propose_at(std::uint8_t server) {
  node& n = at(server);
  if (!n.replica) {
    return false;
  }
  std::vector<std::byte> bytes;
  byte_writer{bytes}.number(++next_command_);
  bytes.resize(8 + chance() % 64);
  const auto where = n.replica->propose(now_, bytes);
  if (where && n.replica->sound()) {
    n.mine[*where] = bytes;
  }
  watch(n);
  return where.has_value();
}

void raft_world::run(raft::milliseconds time) {
  const raft::milliseconds end = now_ + time;
  while (now_ < end && broken_.empty()) {
    now_ += step;
    deliver_letters();
    for (const auto& n : nodes_) {
      if (n->replica && broken_.empty()) {
        n->replica->tick(now_);
        watch(*n);
      }
    }
  }
}

void raft_world::forge(std::uint8_t from, std::uint8_t to, raft::letter what) {
  network_.emplace(now_, on_its_way{from, to, to_bytes(what)});
}

void raft_world::post(std::uint8_t from, std::uint8_t to, const raft::letter& what) {
  if (cut_.contains(std::minmax(from, to)) || chance() % 100 < weather.lost_percent) {
    return;
  }
  const std::vector<std::byte> bytes = to_bytes(what);
  const unsigned times = chance() % 100 < weather.doubled_percent ? 2 : 1;
  for (unsigned i = 0; i < times; ++i) {
    network_.emplace(now_ + raft::milliseconds{chance() % (weather.late_ms + 1)},
                     on_its_way{from, to, bytes});
  }
}

void raft_world::deliver_letters() {
  while (!network_.empty() && network_.begin()->first <= now_ && broken_.empty()) {
    const on_its_way next = std::move(network_.begin()->second);
    network_.erase(network_.begin());
    node& n = at(next.to);
    if (!n.replica) {
      continue;
    }
    auto what = raft::letter_from(next.bytes);
    if (!what) {
      break_rule("a letter does not read back: " + what.error().message);
      return;
    }
    n.replica->receive(now_, next.from, *std::move(what));
    watch(n);
  }
}

void raft_world::watch(node& n) {
  const auto sound = n.replica->sound();
  if (!sound) {
    if (n.disk.calls_until_failure != 0) {
      break_rule(fmt::format("server {} stopped: {}", n.self, sound.error().message));
    }
    return stop(n.self);
  }
  if (n.replica->leads()) {
    const auto [of_term, is_new] = leaders_.emplace(n.replica->term(), n.self);
    if (!is_new && of_term->second != n.self) {
      break_rule(fmt::format("two servers lead in term {}", n.replica->term()));
    }
  }
}

void raft_world::break_rule(std::string what) {
  if (broken_.empty()) {
    broken_ = std::move(what);
  }
}

bool raft_world::comes_to_rest() {
  heal_links();
  weather = {};
  for (const auto& n : nodes_) {
    n->disk.calls_until_failure = ~std::uint64_t{0};
  }
  const auto rests = [this](std::size_t least) {
    return std::all_of(nodes_.begin(), nodes_.end(), [&](const auto& n) {
      return n->replica && n->told.size() == truth_.size() && truth_.size() >= least &&
             !n->replica->is_recovering();
    });
  };
  std::size_t wanted = 0;
  for (const raft::milliseconds end = now_ + patience; now_ < end && broken_.empty();) {
    for (const auto& n : nodes_) {
      start(n->self);
    }
    run(raft::milliseconds{100});
    if (!rests(wanted)) {
      continue;
    }
    if (wanted > 0) {
      return true;
    }
    if (propose()) {
      wanted = truth_.size() + 1;
    }
  }
  return false;
}

} // namespace ovir::test
