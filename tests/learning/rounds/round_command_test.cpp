// `ovir learn round` as processes: workers vanish, the coordinator is killed and goes on, and the
// sum is that of the survivors' updates with their noise.
#include "learning/adapter/adapter_file.hpp"
#include "learning/rounds/accountant.hpp"
#include "learning/rounds/fixed_point.hpp"
#include "learning/rounds/letters.hpp"
#include "learning/rounds/round_worker.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <csignal>
#include <cstring>
#include <filesystem>

namespace ovir::test {
namespace {

using namespace learning;
using nlohmann::json;
using ::testing::HasSubstr;

/// A model, and keys and examples of five workers.
class round_folder {
public:
  static constexpr int workers = 5;

  round_folder() {
    compute::synth_spec spec;
    spec.dim = 64;
    spec.ffn_dim = 96;
    spec.quantization = compute::synth_quantization::q8_0;
    write_file(file("model.gguf"), synthetic_model(spec));
    std::string cohort = "# workers\n";
    for (int i = 0; i < workers; ++i) {
      names.push_back(ovir_json({"keygen", "-o", key(i)})["public_key"]);
      cohort += names.back() + "\n";
      std::string lines;
      for (int k = 0; k < 4; ++k) {
        lines += json{{"prompt", "Worker " + std::to_string(i)},
                      {"completion", " counts " + std::to_string(k)}}
                     .dump() +
                 "\n";
      }
      write_file(file("data" + std::to_string(i)), lines);
    }
    coordinator = ovir_json({"keygen", "-o", file("coordinator.key")})["public_key"];
    write_file(file("cohort"), cohort);
  }
  [[nodiscard]] std::string file(const std::string& name) const { return folder_.path() / name; }
  [[nodiscard]] std::string key(int i) const { return file("key" + std::to_string(i)); }

  [[nodiscard]] std::unique_ptr<child_process>
  coordinate(const std::string& address, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{"learn",        "round",
                                 "--coordinate", address,
                                 "--cohort",     file("cohort"),
                                 "-m",           file("model.gguf"),
                                 "--key",        file("coordinator.key"),
                                 "-o",           file("next.gguf"),
                                 "--rank",       "1",
                                 "--targets",    "q",
                                 "--gather",     "60",
                                 "--wait",       "3"};
    all.insert(all.end(), more.begin(), more.end());
    return started(all);
  }
  [[nodiscard]] std::unique_ptr<child_process>
  join(int i, const std::string& address, const std::vector<std::string>& more = {}) const {
    const std::string n = std::to_string(i);
    std::vector<std::string> all{"learn",
                                 "round",
                                 "--join",
                                 address,
                                 "--coordinator",
                                 coordinator,
                                 "--cohort",
                                 file("cohort"),
                                 "-m",
                                 file("model.gguf"),
                                 "--key",
                                 key(i),
                                 "-d",
                                 file("data" + n),
                                 "--steps",
                                 "2",
                                 "--batch",
                                 "2",
                                 "--rate",
                                 "0.01",
                                 "--threads",
                                 "1",
                                 "--hold-back",
                                 "0",
                                 "--copy-sent",
                                 file("sent" + n)};
    all.insert(all.end(), more.begin(), more.end());
    return started(all);
  }

  std::vector<std::string> names; ///< public keys
  std::string coordinator;

private:
  /// Notes and results in one stream, so that a test can wait for either.
  static std::unique_ptr<child_process> started(const std::vector<std::string>& command) {
    std::vector<std::string> all{"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&1", ovir_program()};
    all.insert(all.end(), command.begin(), command.end());
    return std::make_unique<child_process>(all);
  }

  temporary_folder folder_;
};

/// Waits until the program has said this; what it said so far.
std::string wait_for(child_process& child, const std::string& words) {
  std::string out;
  for (std::size_t bytes = 1; out.find(words) == std::string::npos; bytes = out.size() + 1) {
    const std::string more = child.wait_for_output(bytes);
    if (more.size() <= out.size()) {
      ADD_FAILURE() << "never said '" << words << "': " << more;
      return more;
    }
    out = more;
  }
  return out;
}

std::string address_in(child_process& coordinator) {
  const std::string out = wait_for(coordinator, "phase ");
  const std::string words = " listens on ";
  const std::size_t at = out.find(words) + words.size();
  return out.substr(at, out.find('\n', at) - at);
}

std::vector<std::int64_t> numbers_in(const std::string& path) {
  const std::string bytes = read_file(path);
  std::vector<std::int64_t> out(bytes.size() / sizeof(std::int64_t));
  std::memcpy(out.data(), bytes.data(), out.size() * sizeof(std::int64_t));
  return out;
}

std::vector<letter> letters_in(const std::string& path) {
  const std::string bytes = read_file(path);
  std::vector<letter> out;
  for (std::size_t at = 0; at + 4 <= bytes.size();) {
    std::uint32_t size = 0;
    std::memcpy(&size, bytes.data() + at, sizeof size);
    auto read = letter_from(std::as_bytes(std::span{bytes}.subspan(at + 4, size)));
    EXPECT_TRUE(read) << path;
    if (!read) {
      break;
    }
    out.push_back(std::move(*read));
    at += 4 + size;
  }
  return out;
}

round_receipt receipt_in(const std::string& path) {
  const std::string bytes = read_file(path);
  const auto read = letter_from(std::as_bytes(std::span{bytes}));
  return read ? std::get<round_receipt>(*read) : round_receipt{};
}

/// A worker says again what a coordinator that came back does not have.
std::size_t different_in(const std::string& path) {
  std::set<std::vector<std::byte>> all;
  for (const letter& l : letters_in(path)) {
    all.insert(to_bytes(l));
  }
  return all.size();
}

/// No letter of the worker but its masked one has an update's numbers, and that one has none of
/// them as they are.
void expect_only_masked(const std::string& sent, const std::vector<std::int64_t>& kept) {
  for (const letter& l : letters_in(sent)) {
    EXPECT_FALSE(std::holds_alternative<open_update>(l));
    const std::vector<std::byte> bytes = to_bytes(l);
    for (const std::int64_t x : kept) {
      const auto wanted = std::as_bytes(std::span{&x, 1});
      if (x != 0 && x != -1) {
        EXPECT_EQ(std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end()),
                  bytes.end())
            << "letter " << l.index();
      }
    }
  }
}

TEST(round_command, five_processes_two_of_which_vanish_sum_the_survivors_exactly) {
  const round_folder here;
  auto coordinator = here.coordinate("127.0.0.1:0", {"--drop-outs", "2", "--json"});
  const std::string address = address_in(*coordinator);
  std::vector<std::unique_ptr<child_process>> workers;
  for (int i = 0; i < round_folder::workers; ++i) {
    workers.push_back(here.join(i, address,
                                {"--epsilon-max", "100", "--keep-update",
                                 here.file("kept" + std::to_string(i)), "--json"}));
  }
  // The coordinator is killed in mid-round, and two workers while it is away: nothing can go on
  // until it is back, so they vanish with the round half done.
  static_cast<void>(wait_for(*coordinator, "phase updates"));
  coordinator->send_signal(SIGKILL);
  static_cast<void>(coordinator->wait());
  ASSERT_FALSE(std::filesystem::exists(here.file("next.gguf")));
  for (const std::size_t gone : {1U, 3U}) {
    workers[gone]->send_signal(SIGKILL);
    static_cast<void>(workers[gone]->wait());
  }
  coordinator = here.coordinate(address, {"--drop-outs", "2"});
  const child_result done = coordinator->wait();
  ASSERT_EQ(done.exit_code, 0) << done.out;
  EXPECT_THAT(done.out, HasSubstr("going on with round 1 in the phase"));
  const round_receipt receipt = receipt_in(here.file("next.gguf.receipt"));
  std::vector<std::int64_t> sum;
  std::printf("%zu survivors\n", receipt.survivors.size());
  ASSERT_GE(receipt.survivors.size(), 3U);
  for (int i = 0; i < round_folder::workers; ++i) {
    const std::string n = std::to_string(i);
    if (i != 1 && i != 3) {
      const child_result worker = workers[static_cast<std::size_t>(i)]->wait();
      EXPECT_EQ(worker.exit_code, 0) << worker.out;
      EXPECT_EQ(different_in(here.file("sent" + n)), 5U) << "what it says again is what it said";
    }
    if (std::filesystem::exists(here.file("kept" + n))) {
      expect_only_masked(here.file("sent" + n), numbers_in(here.file("kept" + n)));
    }
    const node_id name = node_id_from_hex(here.names[static_cast<std::size_t>(i)]).value();
    if (std::binary_search(receipt.survivors.begin(), receipt.survivors.end(), name)) {
      const auto kept = numbers_in(here.file("kept" + n));
      sum.resize(kept.size() / 2);
      for (std::size_t k = 0; k < sum.size(); ++k) {
        sum[k] += kept[sum.size() + k]; // behind the plain update
      }
    }
  }
  EXPECT_EQ(to_hex(name_of_sum(sum)), to_hex(receipt.sum));
  const std::string bytes = read_file(here.file("next.gguf"));
  EXPECT_EQ(hash_plain(std::as_bytes(std::span{bytes})), receipt.adapter);
  EXPECT_THAT(done.out, HasSubstr(to_cid(receipt.adapter)));
  EXPECT_THAT(done.out, HasSubstr(fmt::format("epsilon {:.6f}",
                                              std::bit_cast<double>(receipt.epsilon_bits))));
  EXPECT_FALSE(std::filesystem::exists(here.file("next.gguf.round")));
}

TEST(round_command, an_open_round_says_so_and_a_next_one_begins_with_its_adapter) {
  const round_folder here;
  auto coordinator =
      here.coordinate("127.0.0.1:0", {"--mode", "open", "--drop-outs", "3", "--json"});
  const std::string address = address_in(*coordinator);
  // One of the five agreed to private rounds alone.
  const child_result refused = here.join(4, address, {"--epsilon-max", "100"})->wait();
  EXPECT_EQ(refused.exit_code, 2) << refused.out;
  EXPECT_THAT(refused.out, HasSubstr("the round is open"));
  EXPECT_TRUE(letters_in(here.file("sent4")).empty());
  std::vector<std::unique_ptr<child_process>> workers;
  for (int i = 0; i < 4; ++i) {
    workers.push_back(here.join(i, address, {"--mode", "open"}));
  }
  workers.push_back(here.join(4, address, {"--mode", "open"}));
  const child_result done = coordinator->wait();
  ASSERT_EQ(done.exit_code, 0) << done.out;
  std::vector<std::int64_t> sum;
  for (int i = 0; i < 5; ++i) {
    const child_result worker = workers[static_cast<std::size_t>(i)]->wait();
    EXPECT_EQ(worker.exit_code, 0) << worker.out;
    EXPECT_THAT(worker.out, HasSubstr("the coordinator will see this worker's update"));
    const auto sent = letters_in(here.file("sent" + std::to_string(i)));
    ASSERT_EQ(sent.size(), 1U);
    const auto& values = std::get<open_update>(sent[0]).values;
    sum.resize(values.size());
    for (std::size_t k = 0; k < values.size(); ++k) {
      sum[k] += static_cast<std::int64_t>(values[k]);
    }
  }
  const round_receipt receipt = receipt_in(here.file("next.gguf.receipt"));
  EXPECT_EQ(to_hex(name_of_sum(sum)), to_hex(receipt.sum));
  EXPECT_TRUE(std::any_of(sum.begin(), sum.end(), [](std::int64_t x) { return x != 0; }));
  const std::string bytes = read_file(here.file("next.gguf"));
  const auto next = adapter_from(std::as_bytes(std::span{bytes}));
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_EQ(next->from.profile, "rounds-1");
  EXPECT_THAT(next->from.settings, HasSubstr(to_hex(receipt.task)));
}

TEST(round_command, says_in_one_sentence_what_is_wrong) {
  const round_folder here;
  const auto expect = [&](std::vector<std::string> more, int code, const std::string& part) {
    std::vector<std::string> all{
        "learn", "round",    "--cohort", here.file("cohort"), "-m", here.file("model.gguf"),
        "--key", here.key(0)};
    all.insert(all.end(), more.begin(), more.end());
    const child_result child = run_ovir(std::move(all));
    EXPECT_EQ(child.exit_code, code) << child.err;
    EXPECT_THAT(child.err, HasSubstr(part));
  };
  const std::string out = here.file("x.gguf");
  expect({}, 2, "either --coordinate or --join");
  expect({"--coordinate", "127.0.0.1:0"}, 2, "needs --out");
  expect({"--join", "node.example:7300"}, 2, "needs --coordinator and --data");
  expect({"--join", "node.example:7300", "--coordinator", here.names[1], "-d", here.file("data0")},
         2, "needs --epsilon-max");
  expect({"--coordinate", "127.0.0.1:0", "-o", out, "--drop-outs", "4"}, 2, "two honest ones");
  expect({"--coordinate", "127.0.0.1:0", "-o", out, "--drop-outs", "3"}, 2, "threshold");
  expect({"--coordinate", "127.0.0.1:0", "-o", out, "--update-norm", "8"}, 2, "--unit-bits");
  expect({"--coordinate", "127.0.0.1:0", "-o", out, "--noise", "0"}, 2, "--noise 0");
  write_file(here.file("bad"), std::string{"abc\n"});
  const child_result bad = run_ovir({"learn", "round", "--cohort", here.file("bad"), "-o", out,
                                     "--coordinate", "127.0.0.1:0", "--key", here.key(0)});
  EXPECT_EQ(bad.exit_code, 3) << bad.err;
  EXPECT_THAT(bad.err, HasSubstr("bad: line 1: a node's key has 64"));
}

} // namespace
} // namespace ovir::test
