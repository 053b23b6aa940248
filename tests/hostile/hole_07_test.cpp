// A stage with valid keys that computes rightly, and every token slower than the one before.
#include "apps/key_file.hpp"
#include "compute/forward/segment.hpp"
#include "compute/text/sampler.hpp"
#include "messages/request/request_name.hpp"
#include "node/local_cluster.hpp"
#include "tests/hostile/hostile_stage.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <fmt/format.h>

#include <condition_variable>

namespace ovir::test {
namespace {

using namespace actors;
using namespace std::chrono_literals;

constexpr std::uint32_t tokens_wanted = 40;
constexpr std::uint32_t prompt_size = 8;
/// Tokens that a slow stage gives before it must have been left: the last takes thirteen seconds.
constexpr std::size_t tokens_slow_max = 17;

/// What a request is answered with, and what each token is drawn from.
struct right_answer {
  actors::generation_request request;
  supervision::run_report report;
  std::vector<token_choice> choices; ///< of positions from the prompt's last on
};

right_answer answer_of(const loaded_model& model) {
  right_answer right;
  for (std::uint32_t i = 0; i < prompt_size; ++i) {
    right.request.prompt.push_back(20 + 31 * i);
  }
  right.request.max_tokens = tokens_wanted;
  const auto words = compute::tokenizer::make(model.file()).value();
  const auto* const kernels = compute::select_kernels(std::nullopt).value();
  const auto env = storage::make_env_posix();
  auto alone = supervision::local_cluster::start(model.get(), *words, *kernels, *env, {});
  right.report = (*alone)->run(right.request, {}, nullptr).value();

  compute::serial_runner runner;
  const auto whole =
      compute::segment::make(model.get(), {0, model.get().config.layers}, *kernels, runner).value();
  auto state = whole->open(prompt_size + tokens_wanted, 1U << 26U).value();
  std::vector<token_id> tokens = right.request.prompt;
  compute::step_output out;
  for (position first = 0; right.choices.size() < right.report.tokens.size();) {
    compute::step_input in{.first = first, .count = static_cast<std::uint32_t>(tokens.size())};
    in.tokens = tokens;
    in.logit_rows = 1;
    EXPECT_TRUE(whole->forward(state, in, runner, out));
    first += in.count;
    tokens = {compute::highest_of(out.logits)};
    right.choices.push_back({tokens[0], compute::logits_digest(first - 1, out.logits)});
  }
  return right;
}

class hole_07 : public hostile_stages {
protected:
  static void wait(std::chrono::milliseconds time) {
    std::mutex waiting;
    std::condition_variable nobody_tells;
    std::unique_lock lock{waiting};
    nobody_tells.wait_for(lock, time);
  }
};

TEST_F(hole_07, a_stage_that_gets_slower_with_every_token_is_left) {
  const loaded_model model{std::filesystem::path{cluster_->node(front).parts.front().path}};
  const right_answer right = answer_of(model);
  ASSERT_EQ(right.report.tokens.size(), tokens_wanted);
  constexpr std::uint64_t named = 0x70707;
  const node_id shell_key =
      apps::load_key(*storage::make_env_posix(), cluster_->admin_key()).value().id();
  const std::uint64_t id = name_in_cluster(owner_of_shell(shell_key.key), request_id{named}).value;
  std::atomic<std::size_t> answered{0};
  const auto liar = stage(
      0x70,
      [&](hostile_stage& self, const wire_message& m) {
        if (!std::holds_alternative<wire_open>(m.body)) {
          return;
        }
        if (m.request.value == id) {
          self.answer(m, session_opened{0, {}});
        } else {
          self.answer(m, stage_failed{{errc::busy, "with the victim"}});
        }
      },
      [&, delay = 20.0](hostile_stage& self, const frame_view& view) mutable {
        const frame_header& h = view.header;
        const position at = h.first + h.count - h.drafts() - 1;
        if (h.request.value != id || at + 1 < prompt_size ||
            at + 1 - prompt_size >= right.choices.size() || answered.load() >= tokens_slow_max) {
          return;
        }
        wait(std::chrono::milliseconds{static_cast<std::int64_t>(delay)});
        delay *= 1.5;
        const std::array<token_choice, 1> row{right.choices[at + 1 - prompt_size]};
        self.send_frame(
            encode_frame({frame_kind::choice, h.request, h.epoch, at, 1, choice_width, 1},
                         std::as_bytes(std::span{row})));
        answered.fetch_add(1);
      });
  // It is to be the first choice of this request.
  ASSERT_TRUE(cluster_->wait_until([&] { return !liar->opened().empty(); }));
  cluster_shell shell{
      {cluster_->admin_key(), {cluster_->admin_address(head)}, std::chrono::seconds{45}}};
  const apps::shell_outcome told = shell.call("run", {{"tokens", right.request.prompt},
                                                      {"max_tokens", tokens_wanted},
                                                      {"temperature", 0.0},
                                                      {"request", fmt::format("{:016x}", named)}});
  EXPECT_TRUE(liar->opened().contains(id));
  EXPECT_GT(answered.load(), 4U) << "it was not slow from the first token on";
  EXPECT_LT(answered.load(), tokens_slow_max);
  fmt::print("left after {} tokens\n", answered.load());
  const auto* const data = std::get_if<apps::json>(&told);
  ASSERT_NE(data, nullptr) << failure_text(told) << "; " << answered.load()
                           << " tokens, each 1.5 times as slow as the one before";
  EXPECT_EQ(data->at("tokens").get<std::vector<token_id>>(), right.report.tokens);
  EXPECT_EQ(data->at("transcript"), to_hex(right.report.transcript));
}

} // namespace
} // namespace ovir::test
