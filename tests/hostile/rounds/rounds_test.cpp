// Federated rounds as processes: a worker whose coordinator lies, a coordinator with members that
// lie.
#include "apps/ovir/learn/round_link.hpp"
#include "learning/adapter/adapter_file.hpp"
#include "learning/rounds/round_coordinator.hpp"
#include "learning/rounds/round_worker.hpp"
#include "messages/cid.hpp"
#include "messages/hex.hpp"
#include "messages/secret_random.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>

namespace ovir::test {
namespace {

using apps::round_link;
using learning::letter;
using nlohmann::json;
using ::testing::HasSubstr;

secret_key drawn_key() {
  std::array<std::byte, secret_key::seed_size> seed{};
  fill_secret(seed);
  return secret_key::from_seed(seed);
}

void write_key(const std::string& path, const secret_key& key) {
  write_file(path, "ovir-key-v1 " + to_hex(std::as_bytes(std::span{key.seed()})) + "\n");
  std::filesystem::permissions(path, std::filesystem::perms::owner_read |
                                         std::filesystem::perms::owner_write);
}

/// Five members, sorted by name, of which a test plays some; a coordinator's key, a model,
/// examples.
class attacked_round {
public:
  attacked_round() : coordinator(drawn_key()) {
    compute::synth_spec spec;
    spec.dim = 64;
    spec.ffn_dim = 96;
    spec.quantization = compute::synth_quantization::q8_0;
    write_file(file("model.gguf"), synthetic_model(spec));
    write_file(file("data"), json{{"prompt", "One"}, {"completion", " two"}}.dump() + "\n" +
                                 json{{"prompt", "Three"}, {"completion", " four"}}.dump() + "\n");
    for (int i = 0; i < 5; ++i) {
      members.push_back(drawn_key());
    }
    std::sort(members.begin(), members.end(),
              [](const secret_key& a, const secret_key& b) { return a.id() < b.id(); });
    std::string cohort;
    for (std::size_t i = 0; i < 5; ++i) {
      cohort += to_hex(members[i].id()) + "\n";
      write_key(file("key" + std::to_string(i)), members[i]);
    }
    write_file(file("cohort"), cohort);
    write_key(file("coordinator.key"), coordinator);
  }
  [[nodiscard]] std::string file(const std::string& name) const { return folder_.path() / name; }
  [[nodiscard]] std::unique_ptr<child_process> worker(std::size_t i,
                                                      const std::string& address) const {
    return started({"--join",
                    address,
                    "--coordinator",
                    to_hex(coordinator.id()),
                    "--key",
                    file("key" + std::to_string(i)),
                    "-d",
                    file("data"),
                    "--steps",
                    "1",
                    "--batch",
                    "2",
                    "--hold-back",
                    "0",
                    "--epsilon-max",
                    "100",
                    "--threads",
                    "1",
                    "--copy-sent",
                    file("sent" + std::to_string(i))});
  }
  [[nodiscard]] std::unique_ptr<child_process> honest_coordinator() const {
    return started({"--coordinate", "127.0.0.1:0", "--key", file("coordinator.key"), "-o",
                    file("next.gguf"), "--rank", "1", "--targets", "q", "--drop-outs", "2",
                    "--gather", "8", "--wait", "3"});
  }
  /// An offer that workers accept. Its adapter is as a coordinator's program would make it.
  [[nodiscard]] learning::round_offer offer() const;

  secret_key coordinator;
  std::vector<secret_key> members;

private:
  [[nodiscard]] std::unique_ptr<child_process> started(std::vector<std::string> more) const {
    std::vector<std::string> all{"/bin/sh",         "-c",           "exec \"$0\" \"$@\" 2>&1",
                                 ovir_program(),    "learn",        "round",
                                 "--cohort",        file("cohort"), "-m",
                                 file("model.gguf")};
    all.insert(all.end(), more.begin(), more.end());
    return std::make_unique<child_process>(all);
  }

  temporary_folder folder_;
};

learning::round_offer attacked_round::offer() const {
  // `ovir learn` of one step tells the model's CID and makes an adapter.
  const json made =
      ovir_json({"learn", "-m", file("model.gguf"), "-d", file("data"), "-o", file("first.gguf"),
                 "--rank", "1", "--targets", "q", "--steps", "1", "--hold-back", "0"});
  const std::string bytes = read_file(file("first.gguf"));
  learning::round_offer out;
  const auto span = std::as_bytes(std::span{bytes});
  out.adapter.assign(span.begin(), span.end());
  learning::round_task& t = out.task;
  fill_secret(std::as_writable_bytes(std::span{t.nonce.bytes}));
  t.coordinator = coordinator.id();
  t.base = digest_from_cid(made["base"].get<std::string>()).value();
  t.adapter = hash_plain(out.adapter);
  t.numbers = static_cast<std::uint32_t>(
      learning::count_of(learning::adapter_from(out.adapter).value().is.numbers));
  t.clip_units = 1'000;
  t.noise_variance = 1'000'000;
  t.drop_outs = 2;
  t.threshold = 3;
  for (const secret_key& key : members) {
    t.members.push_back(key.id());
  }
  out.proof = learning::sign_task(coordinator, t);
  return out;
}

/// A coordinator that the test plays, for one worker that is a process and four that are not.
class lying_coordinator {
public:
  explicit lying_coordinator(const attacked_round& of) : round(of), offer(of.offer()) {
    link = round_link::make(of.coordinator, "127.0.0.1:0", offer.task.members).value();
    honest = std::make_unique<learning::round_coordinator>(offer.task);
    for (std::size_t i = 1; i < 5; ++i) {
      puppets.push_back(std::make_unique<learning::round_worker>(
          of.members[i], offer.task, std::vector<std::int64_t>(offer.task.numbers),
          [](std::span<std::byte> out) { fill_secret(out); }));
    }
  }
  /// The next letter of the process; nothing when it hung up.
  std::optional<letter> heard() {
    const auto end = round_link::clock::now() + std::chrono::seconds{60};
    while (round_link::clock::now() < end) {
      auto event = link->next(end);
      if (auto* const got = std::get_if<round_link::heard>(&event)) {
        return std::move(got->what);
      }
      if (std::holds_alternative<round_link::down>(event)) {
        return std::nullopt;
      }
      if (std::holds_alternative<round_link::up>(event)) {
        tell(offer);
      }
    }
    ADD_FAILURE() << "the worker neither answered nor left";
    return std::nullopt;
  }
  void tell(const letter& what) { link->send(round.members[0].id(), to_bytes(what)); }
  /// Goes on honestly for so many phases; the process' last letter.
  letter honest_phases(int phases) {
    std::optional<letter> last;
    for (int phase = 0; phase < phases; ++phase) {
      last = heard();
      EXPECT_TRUE(last.has_value());
      EXPECT_TRUE(last && honest->take(round.members[0].id(), *last));
      for (std::size_t i = 0; i < 4; ++i) {
        const node_id name = round.members[i + 1].id();
        const auto in = honest->letter_for(name);
        EXPECT_TRUE(honest->take(name, in ? puppets[i]->take(*in).value() : puppets[i]->advert()));
      }
      honest->end_phase();
      if (phase + 1 < phases) {
        tell(*honest->letter_for(round.members[0].id()));
      }
    }
    return last.value_or(letter{});
  }

  const attacked_round& round;
  learning::round_offer offer;
  std::unique_ptr<round_link> link;
  std::unique_ptr<learning::round_coordinator> honest;
  std::vector<std::unique_ptr<learning::round_worker>> puppets;
};

/// Of the worker that is a process: how many letters it sent, of which none is an open update.
std::size_t letters_sent(const attacked_round& round) {
  const std::string bytes = read_file(round.file("sent0"));
  std::size_t count = 0;
  for (std::size_t at = 0; at + 4 <= bytes.size(); ++count) {
    std::uint32_t size = 0;
    std::memcpy(&size, bytes.data() + at, sizeof size);
    const auto read = learning::letter_from(std::as_bytes(std::span{bytes}.subspan(at + 4, size)));
    EXPECT_TRUE(read && !std::holds_alternative<learning::open_update>(*read));
    at += 4 + size;
  }
  return count;
}

/// Plays a coordinator that lies at the end; the worker must leave, say this, and have sent so
/// many.
void expect_leaves(const std::function<void(lying_coordinator&)>& lie, const std::string& words,
                   std::size_t sent) {
  const attacked_round round;
  lying_coordinator coordinator{round};
  const auto worker = round.worker(0, coordinator.link->address());
  lie(coordinator);
  EXPECT_FALSE(coordinator.heard().has_value()) << words;
  const child_result done = worker->wait();
  EXPECT_NE(done.exit_code, 0);
  EXPECT_THAT(done.out, HasSubstr(words));
  EXPECT_EQ(letters_sent(round), sent) << words;
}

TEST(hostile_rounds, a_worker_sends_nothing_for_offers_outside_its_terms) {
  expect_leaves(
      [](lying_coordinator& c) { // a member that the coordinator made up
        c.offer.task.members.back() = drawn_key().id();
        std::sort(c.offer.task.members.begin(), c.offer.task.members.end());
        c.offer.proof = sign_task(c.round.coordinator, c.offer.task);
      },
      "is not in this worker's list", 0);
  expect_leaves(
      [](lying_coordinator& c) {
        c.offer.task.noise_variance = 1;
        c.offer.proof = sign_task(c.round.coordinator, c.offer.task);
      },
      "an epsilon of", 0);
  expect_leaves([](lying_coordinator& c) { c.offer.task.clip_units = 1; }, "not signed", 0);
}

TEST(hostile_rounds, a_live_worker_that_is_called_gone_leaves_with_its_secrets) {
  expect_leaves(
      [](lying_coordinator& c) {
        c.honest_phases(3);
        learning::survivor_list lie{name_of(c.offer.task), c.offer.task.members};
        lie.survivors.erase(lie.survivors.begin());
        c.tell(lie);
      },
      "says that this worker is gone", 3);
}

TEST(hostile_rounds, a_worker_votes_for_one_list_and_opens_one_secret_of_each) {
  expect_leaves(
      [](lying_coordinator& c) {
        c.honest_phases(3);
        learning::survivor_list lie{name_of(c.offer.task), c.offer.task.members};
        c.tell(lie);
        ASSERT_TRUE(c.heard().has_value());
        lie.survivors.pop_back(); // and now the last one is gone
        c.tell(lie);
      },
      "this step of the round does not have", 4);
  expect_leaves(
      [](lying_coordinator& c) {
        c.honest_phases(4);
        auto votes = std::get<learning::vote_list>(*c.honest->letter_for(c.round.members[0].id()));
        c.tell(votes);
        const auto opened = c.heard();
        ASSERT_TRUE(opened.has_value());
        EXPECT_EQ(std::get<learning::opened_shares>(*opened).shares.size(), 5U);
        votes.votes.pop_back(); // another letter of the same step
        c.tell(votes);
      },
      "this step of the round does not have", 5);
  expect_leaves(
      [](lying_coordinator& c) {
        c.honest_phases(4);
        auto votes = std::get<learning::vote_list>(*c.honest->letter_for(c.round.members[0].id()));
        for (auto& vote : votes.votes) { // the coordinator votes for all
          vote.proof = c.round.coordinator.sign(learning::survivor_vote::domain,
                                                learning::signed_bytes(vote));
        }
        c.tell(votes);
      },
      "not for this worker's list", 4);
}

TEST(hostile_rounds, a_coordinator_with_members_and_strangers_that_lie_sums_the_honest) {
  const attacked_round round;
  const auto coordinator = round.honest_coordinator();
  std::string said;
  while (said.find("phase ") == std::string::npos) {
    said = coordinator->wait_for_output(said.size() + 1);
  }
  const std::string words = " listens on ";
  const std::size_t at = said.find(words) + words.size();
  const std::string address = said.substr(at, said.find('\n', at) - at);
  std::vector<std::unique_ptr<child_process>> workers;
  for (std::size_t i = 0; i < 3; ++i) {
    workers.push_back(round.worker(i, address));
  }
  // A stranger is turned away.
  const secret_key stranger = drawn_key();
  const auto outside = round_link::make(stranger, "", {round.coordinator.id()}).value();
  outside->connect(address);
  const auto until = round_link::clock::now() + std::chrono::seconds{60};
  const auto refused = outside->next(until);
  ASSERT_TRUE(std::holds_alternative<round_link::down>(refused));
  EXPECT_THAT(std::get<round_link::down>(refused).reason.message, HasSubstr("not in this round"));
  // A member sends noise, then letters of others, then two adverts, and never goes on.
  const secret_key& liar = round.members[4];
  const auto inside = round_link::make(liar, "", {round.coordinator.id()}).value();
  const auto offered = [&]() -> learning::round_offer {
    inside->connect(address);
    while (true) {
      auto event = inside->next(until);
      if (auto* const heard = std::get_if<round_link::heard>(&event);
          heard != nullptr && std::holds_alternative<learning::round_offer>(heard->what)) {
        return std::get<learning::round_offer>(heard->what);
      }
      if (std::holds_alternative<std::monostate>(event)) {
        ADD_FAILURE() << "no offer came";
        return {};
      }
    }
  };
  static_cast<void>(offered());
  inside->send(round.coordinator.id(), std::vector<std::byte>(3'000, std::byte{0x46}));
  while (!std::holds_alternative<round_link::down>(inside->next(until))) {
  }
  const learning::round_offer offer = offered();
  const digest task = name_of(offer.task);
  for (const std::uint8_t key : {std::uint8_t{7}, std::uint8_t{9}}) {
    learning::secret32 one;
    learning::secret32 other;
    one.bytes.fill(std::byte{key});
    other.bytes.fill(static_cast<std::byte>(key + 1));
    learning::key_advert advert{task, {}, public_of(one), public_of(other), {}};
    sign(advert, liar);
    inside->send(round.coordinator.id(), to_bytes(letter{advert}));
    advert.worker = round.members[3].id(); // which is not there
    inside->send(round.coordinator.id(), to_bytes(letter{advert}));
  }
  learning::masked_update early{task, {}, {}, {1, 2}, {}};
  sign(early, liar);
  inside->send(round.coordinator.id(), to_bytes(letter{early}));
  const child_result done = coordinator->wait();
  EXPECT_EQ(done.exit_code, 0) << done.out;
  EXPECT_THAT(done.out, HasSubstr("private round of 5 workers, 3 survivors"));
  EXPECT_THAT(done.out, HasSubstr("sent a second letter"));
  EXPECT_THAT(done.out, HasSubstr("in the name of another worker"));
  for (const auto& worker : workers) {
    EXPECT_EQ(worker->wait().exit_code, 0);
  }
}

} // namespace
} // namespace ovir::test
