#include "tests/support/ledger/group_world.hpp"

#include "ledger/keeper/message.hpp"
#include "ledger/log/merkle.hpp"
#include "ledger/rules/invariants.hpp"
#include "messages/check.hpp"
#include "tests/support/ledger/ledger_world.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ovir::test {

namespace {

constexpr raft::milliseconds step{10};
constexpr raft::milliseconds patience{60'000};
constexpr raft::milliseconds ask_again{100};
constexpr std::uint8_t first_keeper = 210;
constexpr std::uint8_t first_minter = 220;
constexpr std::uint8_t clients = 4;

ledger::genesis rules_of(std::size_t keepers) {
  ledger::genesis rules = ledger_world::rules();
  rules.rules.actions_per_minute_max = 1'000'000; // clients ask as fast as they are answered
  rules.keepers.clear();
  rules.mint_keys.clear();
  for (std::uint8_t i = 0; i < keepers; ++i) {
    rules.keepers.push_back(ledger_world::node(first_keeper + i));
  }
  for (std::uint8_t i = 0; i < clients; ++i) {
    rules.mint_keys.push_back(ledger_world::node(first_minter + i));
  }
  rules.mint_keys.push_back(ledger_world::node(group_world::other_minter));
  std::ranges::sort(rules.keepers);
  std::ranges::sort(rules.mint_keys);
  return rules;
}

} // namespace

class group_world::node {
public:
  node(group_world& of, std::size_t place, std::uint8_t key_number)
      : world(of), self(place), key(ledger_world::key(key_number)) {}

  void make_ledger() {
    book.lose();
    const auto file = book.create(1).value();
    (void)ledger::ledger::create(*file, rules_of(world.keys_.size()), ledger_world::t0, {}).value();
  }
  [[nodiscard]] ledger::group_surroundings around() {
    ledger::group_surroundings out;
    out.key = &key;
    out.own = &*keeper;
    out.files = &journal;
    out.send = [this](const node_id& to, std::vector<std::byte> bytes) {
      const auto place = std::ranges::lower_bound(world.keys_, to);
      world.say(self, static_cast<std::size_t>(place - world.keys_.begin()), std::move(bytes));
    };
    out.between = [this](std::uint32_t least, std::uint32_t most) {
      return std::uniform_int_distribution<std::uint32_t>{least, most}(world.chance);
    };
    out.time = [this] { return time(); };
    return out;
  }
  [[nodiscard]] std::uint64_t time() const {
    return ledger_world::t0 + world.skipped_ +
           static_cast<std::uint64_t>(world.now_.count()) / 1'000;
  }
  void open_keeper() {
    file = book.open(1).value();
    ledger::open_report report;
    ledger::keeper_surroundings needs;
    needs.key = &key;
    needs.last_head = last_head;
    keeper.emplace(
        ledger::keeper::make(ledger::ledger::open(*file, {}, report).value(), needs).value());
  }
  void close() {
    group.reset();
    if (keeper && keeper->has_head()) {
      last_head = keeper->head();
    }
    keeper.reset();
    file.reset();
  }

  group_world& world;
  std::size_t self;
  secret_key key;
  raft_disk journal;
  raft_disk book;
  std::unique_ptr<durable_file> file;
  std::optional<ledger::signed_head> last_head;
  std::optional<ledger::keeper> keeper;
  std::unique_ptr<ledger::keeper_group> group;
};

group_world::group_world(std::uint64_t seed, std::uint8_t keepers)
    : chance(seed), keys_(rules_of(keepers).keepers) {
  for (std::size_t place = 0; place < keys_.size(); ++place) {
    for (std::uint8_t i = 0; i < keepers; ++i) {
      if (ledger_world::node(first_keeper + i) == keys_[place]) {
        nodes_.push_back(std::make_unique<node>(*this, place, first_keeper + i));
      }
    }
  }
  for (const auto& n : nodes_) {
    n->make_ledger();
    n->open_keeper();
    ledger_ = n->keeper->book().id();
    OVIR_CHECK(ledger::keeper_group::found(n->around()), "a disk that works");
    n->close();
  }
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    start(i);
  }
  for (std::uint8_t i = 0; i < clients; ++i) {
    clients_.push_back({static_cast<std::uint8_t>(first_minter + i), 0, {}, 0, {}});
    next(clients_.back());
  }
}

group_world::~group_world() = default;

void group_world::start(std::size_t keeper) {
  node& n = *nodes_[keeper];
  if (n.group) {
    return;
  }
  n.open_keeper();
  auto opened = ledger::keeper_group::open(n.around(), {}, now_);
  if (!opened) {
    return break_rule(fmt::format("keeper {} does not start: {}", keeper, opened.error().message));
  }
  n.group = std::move(*opened);
  watch(n);
}

void group_world::stop(std::size_t keeper) {
  node& n = *nodes_[keeper];
  n.close();
  n.journal.cut_power(chance);
  n.book.cut_power(chance);
}

void group_world::lose_disk(std::size_t keeper) {
  stop(keeper);
  node& n = *nodes_[keeper];
  n.journal.lose();
  n.last_head.reset();
  n.make_ledger();
}

void group_world::forget_head(std::size_t keeper) { nodes_[keeper]->last_head.reset(); }

bool group_world::is_up(std::size_t keeper) const { return nodes_[keeper]->group != nullptr; }
ledger::keeper_group& group_world::group_of(std::size_t keeper) { return *nodes_[keeper]->group; }
ledger::keeper& group_world::keeper_of(std::size_t keeper) { return *nodes_[keeper]->keeper; }
const secret_key& group_world::key_of(std::size_t keeper) const { return nodes_[keeper]->key; }

std::size_t group_world::leader() const {
  const auto found =
      std::ranges::find_if(nodes_, [](const auto& n) { return n->group && n->group->leads(); });
  return static_cast<std::size_t>(found - nodes_.begin());
}

void group_world::run(raft::milliseconds time) {
  const raft::milliseconds end = now_ + time;
  while (now_ < end && broken_.empty()) {
    now_ += step;
    deliver();
    for (client& one : clients_) {
      if (asks && (one.question == 0 || now_ - one.asked > ask_again)) {
        ask(one);
      }
    }
    for (const auto& n : nodes_) {
      if (!n->group) {
        continue;
      }
      std::vector<ledger::keeper_answer> answers;
      n->group->tick(now_, answers);
      if (n->group->sound()) {
        (void)n->group->propose(now_, {}, answers);
      }
      take(answers);
      watch(*n);
    }
  }
}

void group_world::ask(client& one) {
  const std::size_t to = leader();
  if (to == nodes_.size()) {
    return;
  }
  one.question = ++questions_;
  one.asked = now_;
  std::vector<ledger::keeper_answer> answers;
  nodes_[to]->keeper->take(ledger_world::node(one.number), {},
                           {one.question, ledger::submit{one.entry, {}}}, answers);
  take(answers);
}

void group_world::take(const std::vector<ledger::keeper_answer>& answers) {
  for (const ledger::keeper_answer& a : answers) {
    const auto who = std::ranges::find_if(clients_, [&](const client& c) {
      return ledger_world::node(c.number) == a.to && c.question == a.what.id;
    });
    if (who == clients_.end()) {
      continue;
    }
    if (const auto* const p = std::get_if<ledger::promise>(&a.what.body)) {
      if (const auto good = check_promise(*p, who->entry, ledger_, keys_); !good) {
        break_rule("a promise that does not hold: " + good.error().message);
      }
      const auto [at, is_new] = promised_.emplace(p->entry.entry.index, p->entry.entry.leaf);
      if (!is_new) {
        break_rule(fmt::format("entry {} is promised to two", at->first));
      }
      next(*who);
    } else if (const auto* const r = std::get_if<ledger::refusal>(&a.what.body)) {
      if (r->reason.code != errc::busy) {
        break_rule("refused: " + r->reason.message);
      }
      who->question = 0;
    }
  }
}

void group_world::next(client& one) {
  const ledger::command c =
      ledger::mint{ledger_world::node(one.number), ledger::mint_target::participant,
                   ledger_world::node(1), 5, ++one.nonce};
  one.entry.clear();
  ledger::encode({0, c, sign_action(ledger_world::key(one.number), ledger_, c)}, one.entry);
  one.question = 0;
}

void group_world::say(std::size_t from, std::size_t to, std::vector<std::byte> bytes) {
  if (cut_.contains(std::minmax(from, to)) || chance() % 100 < weather.lost_percent) {
    return;
  }
  const unsigned times = chance() % 100 < weather.doubled_percent ? 2 : 1;
  for (unsigned i = 0; i < times; ++i) {
    network_.emplace(now_ + raft::milliseconds{chance() % (weather.late_ms + 1)},
                     on_its_way{from, to, bytes});
  }
}

void group_world::deliver() {
  while (!network_.empty() && network_.begin()->first <= now_ && broken_.empty()) {
    const on_its_way next = std::move(network_.begin()->second);
    network_.erase(network_.begin());
    node& n = *nodes_[next.to];
    if (n.group) {
      std::vector<ledger::keeper_answer> answers;
      n.group->receive(now_, keys_[next.from], next.bytes, answers);
      take(answers);
      watch(n);
    }
  }
}

void group_world::watch(node& n) {
  if (const auto sound = n.group->sound(); !sound) {
    break_rule(fmt::format("keeper {} stopped: {}", n.self, sound.error().message));
  }
}

void group_world::break_rule(std::string what) {
  if (broken_.empty()) {
    broken_ = std::move(what);
  }
}

std::string group_world::broken() {
  for (const auto& n : nodes_) {
    if (!broken_.empty() || !n->keeper) {
      continue;
    }
    const ledger::ledger& book = n->keeper->book();
    std::set<std::vector<std::byte>> seen;
    const auto check = [&](std::uint64_t i, std::span<const std::byte> bytes) -> result<void> {
      const auto e = ledger::decode_entry(bytes).value();
      std::vector<std::byte> bare;
      ledger::encode({0, e.what, e.proof}, bare);
      if (!seen.insert(bare).second) {
        break_rule(fmt::format("entry {} of keeper {} is there twice", i, n->self));
      }
      // One that was down or cut off may lack the last.
      if (const auto is = promised_.find(i);
          is != promised_.end() && is->second != ledger::leaf_hash(bytes)) {
        break_rule(fmt::format("keeper {} has another entry {} than was promised", n->self, i));
      }
      return {};
    };
    if (const auto read = book.log().visit_range(1, book.log().size() - 1, check); !read) {
      break_rule(read.error().message);
    }
    if (const auto sound = ledger::check_invariants(book.view()); !sound) {
      break_rule(sound.error().message);
    }
  }
  return broken_;
}

bool group_world::comes_to_rest() {
  heal_links();
  weather = {};
  const std::size_t before = promised_.size();
  for (const raft::milliseconds end = now_ + patience; now_ < end && broken_.empty();) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      start(i);
    }
    run(raft::milliseconds{100});
    const ledger::log_head head = nodes_[0]->keeper->own_head().head;
    const bool same = std::ranges::all_of(nodes_, [&](const auto& n) {
      return n->keeper->own_head().head.size + clients >= head.size &&
             n->keeper->own_head().head.size <= head.size + clients && n->keeper->has_head();
    });
    const bool all_promised = promised_.empty() || promised_.rbegin()->first < head.size;
    if (same && all_promised && promised_.size() >= before + 2 * clients) {
      return broken().empty();
    }
  }
  return false;
}

} // namespace ovir::test
