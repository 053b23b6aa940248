#include "actors/stage/shard_core.hpp"
#include "compute/make/synth.hpp"
#include "messages/limits/gather.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

std::vector<std::byte> synth_model() {
  compute::synth_spec spec;
  spec.layers = 4;
  spec.dim = 32;
  spec.ffn_dim = 64;
  spec.heads = 2;
  spec.kv_heads = 1;
  spec.vocabulary = 300;
  spec.quantization = compute::synth_quantization::q8_0;
  std::vector<std::byte> out;
  const auto sink = [&out](std::span<const std::byte> part) -> result<void> {
    out.insert(out.end(), part.begin(), part.end());
    return {};
  };
  EXPECT_TRUE(compute::write_synth(spec, sink, {}));
  return out;
}

const test::loaded_model& model() {
  static const test::loaded_model m{synth_model()};
  return m;
}

constexpr request_id sharded{1};

/// One stage with its core, and a shell that performs jobs at once.
class stage {
public:
  explicit stage(layer_range layers, std::size_t kv_bytes_max = 1U << 20U)
      : bench_(std::make_shared<stage_bench>()), core(bench_) {
    bench_->segment =
        compute::segment::make(model().get(), layers, compute::kernels_reference(), runner_)
            .value();
    bench_->kv_bytes_max = kv_bytes_max;
  }

  /// Performs all work there is; what went out last.
  shard_outcome work() {
    shard_outcome last;
    for (auto pass = core.next_pass(false); !pass.empty(); pass = core.next_pass(false)) {
      last = do_pass(pass).back();
    }
    return last;
  }
  std::vector<shard_outcome> do_pass(const std::vector<shard_job>& pass) {
    auto outcomes = perform(pass, *bench_, runner_);
    for (std::size_t i = 0; i < pass.size(); ++i) {
      (void)core.job_ended(pass[i].request, outcomes[i].length);
    }
    return outcomes;
  }
  shard_outcome send(const frame_bytes& frame) {
    EXPECT_TRUE(core.accept(frame));
    return work();
  }
  void open(std::uint32_t e = 1) { ASSERT_TRUE(core.open(sharded, epoch{e}, 64, 64)); }

private:
  compute::serial_runner runner_;
  std::shared_ptr<stage_bench> bench_;

public:
  shard_core core;
};

frame_bytes tokens(position first, std::uint32_t count, std::uint32_t e = 1, std::uint32_t rows = 0,
                   request_id id = sharded) {
  std::vector<token_id> ids(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    ids[i] = (first + i) * 11 % 300;
  }
  const frame_header h{frame_kind::tokens, id, epoch{e}, first, count, 1, rows};
  return std::make_shared<const std::vector<std::byte>>(
      encode_frame(h, std::as_bytes(std::span{ids})));
}

TEST(shard_core, computes_a_frame_that_begins_where_it_is) {
  stage s{{0, 2}};
  s.open();
  const auto out = s.send(tokens(0, 3));
  ASSERT_TRUE(out.done);
  EXPECT_EQ(out.length, 3U);
  const auto view = decode_frame(*out.outgoing).value();
  EXPECT_EQ(view.header, (frame_header{frame_kind::boundary, sharded, epoch{1}, 0, 3, 32, 0}));
}

TEST(shard_core, drops_what_it_has_and_computes_only_the_rest) {
  stage s{{0, 2}};
  s.open();
  (void)s.send(tokens(0, 4));
  const auto again = s.send(tokens(1, 3));
  EXPECT_TRUE(again.done);
  EXPECT_EQ(again.outgoing, nullptr);
  const auto rest = s.send(tokens(2, 4));
  EXPECT_EQ(rest.length, 6U);
  EXPECT_EQ(decode_frame(*rest.outgoing)->header.first, 4U);
  EXPECT_EQ(decode_frame(*rest.outgoing)->header.count, 2U);
}

TEST(shard_core, complains_about_a_gap) {
  stage s{{0, 2}};
  s.open();
  const auto out = s.send(tokens(1, 2));
  ASSERT_FALSE(out.done);
  EXPECT_EQ(out.done.error().code, errc::peer_lost);
  EXPECT_EQ(out.length, 0U);
}

TEST(shard_core, replays_the_very_boundaries_it_sent_in_any_pieces) {
  stage s{{0, 2}};
  s.open();
  const auto sent = s.send(tokens(0, 5));
  const auto original = decode_frame(*sent.outgoing)->floats();
  ASSERT_TRUE(s.core.replay({{1, 3, 1}, sharded, epoch{1}}));
  const auto replayed = s.work();
  const auto view = decode_frame(*replayed.outgoing).value();
  EXPECT_EQ(view.header, (frame_header{frame_kind::boundary, sharded, epoch{1}, 1, 3, 32, 1}));
  EXPECT_TRUE(std::equal(view.floats().begin(), view.floats().end(), original.begin() + 32));
  ASSERT_TRUE(s.core.replay({{3, 3, 0}, sharded, epoch{1}}));
  EXPECT_FALSE(s.work().done);
}

TEST(shard_core, the_last_stage_sends_the_logits_asked_for_and_again_on_order) {
  stage s{{0, 4}};
  s.open();
  EXPECT_EQ(s.send(tokens(0, 3)).outgoing, nullptr);
  const auto first = s.send(tokens(3, 1, 1, 1));
  ASSERT_TRUE(first.outgoing);
  EXPECT_EQ(decode_frame(*first.outgoing)->header.kind, frame_kind::logits);
  ASSERT_TRUE(s.core.resend({{3}, sharded, epoch{1}}));
  EXPECT_EQ(*s.work().outgoing, *first.outgoing);
  ASSERT_TRUE(s.core.resend({{4}, sharded, epoch{1}}));
  EXPECT_EQ(s.work().done.error().code, errc::peer_lost);
}

TEST(shard_core, a_new_epoch_voids_what_waits_and_rejects_the_one_before) {
  stage s{{0, 2}};
  s.open(1);
  ASSERT_TRUE(s.core.accept(tokens(0, 2, 1)));
  s.open(2);
  EXPECT_TRUE(s.core.next_pass(false).empty());
  (void)s.send(tokens(0, 2, 1));
  EXPECT_EQ(s.core.find(sharded)->length, 0U);
  (void)s.send(tokens(0, 2, 2));
  EXPECT_EQ(s.core.find(sharded)->length, 2U);
  EXPECT_FALSE(s.core.open(sharded, epoch{1}, 64, 64));
}

TEST(shard_core, refuses_more_frames_than_the_credit_allows) {
  stage s{{0, 2}};
  s.open();
  for (std::uint32_t i = 0; i < 2 * limits::frames_in_flight_max; ++i) {
    ASSERT_TRUE(s.core.accept(tokens(i, 1)));
  }
  EXPECT_EQ(s.core.accept(tokens(16, 1)).error().code, errc::over_limit);
}

TEST(shard_core, refuses_frames_of_another_kind_and_requests_beyond_its_memory) {
  stage later{{2, 4}};
  later.open();
  EXPECT_EQ(later.core.accept(tokens(0, 1)).error().code, errc::malformed);
  stage small{{0, 2}, 100};
  EXPECT_EQ(small.core.open(sharded, epoch{1}, 64, 64).error().code, errc::over_limit);
}

// A session closed and opened again while a step of the first is computed: that step's end says
// nothing about the second.
TEST(shard_core, the_end_of_a_job_does_not_touch_a_session_opened_since) {
  stage s{{0, 2}};
  s.open();
  ASSERT_TRUE(s.core.accept(tokens(0, 3)));
  ASSERT_EQ(s.core.next_pass(false).size(), 1U);
  s.core.close(sharded);
  s.open();
  ASSERT_TRUE(s.core.accept(tokens(0, 2)));
  EXPECT_EQ(s.core.job_ended(sharded, 3), nullptr);
  EXPECT_EQ(s.core.find(sharded)->length, 0U);
  EXPECT_EQ(s.work().length, 2U);
  EXPECT_TRUE(s.core.next_pass(false).empty());
}

TEST(shard_core, holds_at_most_as_many_requests_as_a_node_computes_for) {
  stage s{{0, 2}};
  for (std::uint64_t i = 0; i < limits::sessions_max; ++i) {
    ASSERT_TRUE(s.core.open(request_id{i}, epoch{1}, 4, 4));
  }
  EXPECT_EQ(s.core.open(request_id{10'000}, epoch{1}, 4, 4).error().code, errc::busy);
  s.core.close(request_id{3});
  EXPECT_TRUE(s.core.open(request_id{10'000}, epoch{1}, 4, 4));
}

std::vector<std::uint64_t> requests_of(const std::vector<shard_job>& pass) {
  std::vector<std::uint64_t> ids;
  ids.reserve(pass.size());
  for (const shard_job& job : pass) {
    ids.push_back(job.request.value);
  }
  return ids;
}

using ids = std::vector<std::uint64_t>;

/// A stage with requests 1 to `count`, and frames for them.
class shared_stage : public stage {
public:
  shared_stage(layer_range layers, std::uint64_t count) : stage(layers) {
    for (std::uint64_t id = 1; id <= count; ++id) {
      EXPECT_TRUE(core.open(request_id{id}, epoch{1}, 512, 512));
    }
  }
  /// Tokens that follow what the sharded sent so far.
  void take(std::uint64_t id, std::uint32_t count, std::uint32_t logit_rows = 0) {
    EXPECT_TRUE(core.accept(tokens(sent_[id], count, 1, logit_rows, request_id{id})));
    sent_[id] += count;
  }
  /// As above, of which others' passes may come before it.
  void take_later(std::uint64_t id, std::uint32_t count, std::uint16_t slack) {
    const std::vector<token_id> none(count, 5);
    const frame_header header{
        frame_kind::tokens, request_id{id}, epoch{1}, sent_[id], count, 1, 0, slack};
    EXPECT_TRUE(core.accept(std::make_shared<const std::vector<std::byte>>(
        encode_frame(header, std::as_bytes(std::span{none})))));
    sent_[id] += count;
  }
  ids next(bool patient) {
    const auto pass = core.next_pass(patient);
    if (!pass.empty()) {
      EXPECT_TRUE(core.next_pass(false).empty()) << "two passes at once";
      (void)do_pass(pass);
    }
    return requests_of(pass);
  }

private:
  std::map<std::uint64_t, position> sent_;
};

constexpr std::uint32_t wide = limits::pass_narrow_rows + 1;

TEST(shard_core, steps_of_few_rows_share_a_pass_in_the_order_they_came) {
  shared_stage s{{0, 4}, 3};
  for (const std::uint64_t id : {2U, 1U, 3U, 2U}) {
    s.take(id, 1);
  }
  EXPECT_EQ(s.next(true), (ids{2, 1, 3}));
  EXPECT_EQ(s.next(false), (ids{2}));
  EXPECT_EQ(s.next(false), ids{});
}

TEST(shard_core, a_pass_takes_the_segments_share_of_those_who_decode) {
  shared_stage half{{0, 2}, 4};
  for (const std::uint64_t id : {1U, 2U, 3U, 4U}) {
    half.take(id, 1);
  }
  EXPECT_EQ(half.next(true), (ids{1, 2}));
  EXPECT_EQ(half.next(true), (ids{3, 4}));
}

TEST(shard_core, a_patient_pass_waits_for_those_who_decode_elsewhere) {
  shared_stage s{{0, 4}, 3};
  for (const std::uint64_t id : {1U, 2U, 3U}) {
    s.take(id, 1);
  }
  EXPECT_EQ(s.next(true), (ids{1, 2, 3}));
  s.take(2, 1);
  EXPECT_EQ(s.next(true), ids{});
  EXPECT_TRUE(s.core.gathering());
  s.take(1, 1);
  EXPECT_EQ(s.next(true), ids{});
  s.take(3, 1);
  EXPECT_EQ(s.next(true), (ids{2, 1, 3}));
  EXPECT_FALSE(s.core.gathering());
}

TEST(shard_core, whoever_came_late_is_not_waited_for_until_it_is_back) {
  shared_stage s{{0, 4}, 3};
  for (const std::uint64_t id : {1U, 2U, 3U}) {
    s.take(id, 1);
  }
  EXPECT_EQ(s.next(true), (ids{1, 2, 3}));
  s.take(1, 1);
  s.take(2, 1);
  EXPECT_EQ(s.next(true), ids{});
  EXPECT_EQ(s.next(false), (ids{1, 2}));
  s.take(1, 1);
  s.take(2, 1);
  EXPECT_EQ(s.next(true), (ids{1, 2}));
  s.take(3, 1);
  EXPECT_EQ(s.next(true), ids{});
  s.take(1, 1);
  s.take(2, 1);
  EXPECT_EQ(s.next(true), (ids{3, 1, 2}));
}

/// Four who decode, each in a pass of its own.
void scatter(shared_stage& s) {
  for (const std::uint64_t id : {1U, 2U, 3U, 4U}) {
    s.take(id, 1);
    EXPECT_EQ(s.next(false), (ids{id}));
  }
}

TEST(shard_core, requests_in_more_groups_than_need_be_are_waited_for_until_they_are_joined) {
  shared_stage half{{0, 2}, 4};
  scatter(half);
  half.take(1, 1);
  EXPECT_EQ(half.next(true), ids{});
  EXPECT_TRUE(half.core.regrouping());
  half.take(2, 1);
  EXPECT_EQ(half.next(true), (ids{1, 2}));
  EXPECT_FALSE(half.core.regrouping());
  half.take(3, 1);
  EXPECT_EQ(half.next(true), ids{});
  EXPECT_TRUE(half.core.regrouping());
  half.take(4, 1);
  EXPECT_EQ(half.next(true), (ids{3, 4}));
  // Two groups are what two stages want.
  half.take(1, 1);
  EXPECT_EQ(half.next(true), ids{});
  EXPECT_TRUE(half.core.gathering());
  EXPECT_FALSE(half.core.regrouping());
}

TEST(shard_core, an_odd_one_out_is_a_group_of_its_own) {
  shared_stage half{{0, 2}, 3};
  for (const std::uint64_t id : {1U, 2U, 3U}) {
    half.take(id, 1);
  }
  EXPECT_EQ(half.next(true), (ids{1, 2}));
  EXPECT_EQ(half.next(true), ids{}); // 3
  EXPECT_TRUE(half.core.gathering());
  EXPECT_FALSE(half.core.regrouping());
}

TEST(shard_core, after_a_long_wait_in_vain_the_next_ones_are_brief) {
  shared_stage half{{0, 2}, 4};
  scatter(half);
  half.take(1, 1);
  EXPECT_EQ(half.next(true), ids{});
  EXPECT_TRUE(half.core.regrouping());
  EXPECT_EQ(half.next(false), (ids{1}));
  // Of those who were late, the first to come is back alone, with the second there are two.
  const auto waits = [&half](std::uint64_t back, std::uint64_t waited_for) {
    half.take(back, 1);
    EXPECT_EQ(half.next(true), (ids{back}));
    half.take(waited_for, 1);
    EXPECT_EQ(half.next(true), ids{});
    EXPECT_TRUE(half.core.gathering());
    return half.core.regrouping();
  };
  EXPECT_FALSE(waits(2, 3));
  EXPECT_EQ(half.next(false), (ids{3}));
  EXPECT_FALSE(waits(4, 1));
  EXPECT_EQ(half.next(false), (ids{1}));
  EXPECT_TRUE(waits(2, 3));
}

/// All four requests decode, and came together.
void come_together(shared_stage& stage) {
  for (const std::uint64_t id : {1U, 2U, 3U, 4U}) {
    stage.take(id, 1);
  }
  EXPECT_EQ(stage.next(false), (ids{1, 2}));
  EXPECT_EQ(stage.next(false), (ids{3, 4}));
}

/// A group of two comes to a stage at rest, which may wait for the others.
ids burst(shared_stage& stage, std::uint64_t first) {
  stage.core.begin_burst();
  stage.take(first, 1);
  stage.take(first + 1, 1);
  return stage.next(true);
}

TEST(shard_core, a_first_stage_waits_for_all_where_groups_come_to_it_at_rest) {
  shared_stage half{{0, 2}, 4};
  come_together(half);
  EXPECT_EQ(burst(half, 1), (ids{1, 2}));
  EXPECT_EQ(burst(half, 3), ids{});
  EXPECT_TRUE(half.core.mustering());
  half.take(1, 1);
  EXPECT_EQ(half.next(true), ids{}) << "more than its share is here, but not all";
  half.take(2, 1);
  EXPECT_EQ(half.next(true), (ids{3, 4}));
  EXPECT_FALSE(half.core.mustering());
  EXPECT_EQ(half.next(true), (ids{1, 2}));
  // From there on one group follows the other: nothing to wait for.
  EXPECT_EQ(burst(half, 3), (ids{3, 4}));
}

TEST(shard_core, after_a_muster_that_did_not_last_bursts_begin_without_one) {
  shared_stage half{{0, 2}, 4};
  come_together(half);
  std::vector<int> between; // bursts that did not wait, before one that did
  int since = 0;
  for (int i = 0; i < 40; ++i) {
    const std::uint64_t first = i % 2 == 0 ? 1 : 3;
    ++since;
    if (burst(half, first).empty()) {
      EXPECT_TRUE(half.core.mustering());
      EXPECT_EQ(half.next(false), (ids{first, first + 1})) << "in vain";
      between.push_back(since);
      since = 0;
    }
  }
  EXPECT_EQ(between, (std::vector<int>{2, 2, 3, 5, 9, 17}));
}

TEST(shard_core, requests_whose_prompts_ended_together_are_waited_for_at_their_first_token) {
  shared_stage s{{0, 4}, 2};
  s.take(1, wide, 1);
  s.take(2, wide, 1);
  EXPECT_EQ(s.next(true), (ids{1, 2}));
  s.take(1, 1);
  EXPECT_EQ(s.next(true), ids{});
  EXPECT_TRUE(s.core.gathering());
  s.take(2, 1);
  EXPECT_EQ(s.next(true), (ids{1, 2}));
}

TEST(shard_core, nobody_waits_for_requests_that_end_or_read_their_prompt) {
  shared_stage s{{0, 4}, 4};
  for (const std::uint64_t id : {1U, 2U, 3U, 4U}) {
    s.take(id, 1);
  }
  EXPECT_EQ(s.next(true), (ids{1, 2, 3, 4}));
  s.core.finish({{}, request_id{2}, epoch{1}});
  s.core.close(request_id{3});
  s.take(4, wide);
  EXPECT_EQ(s.next(true), (ids{4}));
  s.take(1, 1);
  EXPECT_EQ(s.next(true), (ids{1}));
}

TEST(shard_core, who_is_to_end_at_a_position_decodes_until_it_is_reached) {
  shared_stage s{{0, 4}, 2};
  s.take(1, 1);
  s.take(2, 1);
  EXPECT_EQ(s.next(true), (ids{1, 2}));
  const position held = s.core.find(request_id{2})->length;
  s.core.finish({{held + 1}, request_id{2}, epoch{1}});
  EXPECT_FALSE(shard_core::finishes_now(*s.core.find(request_id{2})));
  s.take(1, 1);
  EXPECT_EQ(s.next(true), ids{}) << "its last step joins the pass";
  s.take(2, 1);
  EXPECT_EQ(s.next(true), (ids{1, 2}));
  EXPECT_TRUE(shard_core::finishes_now(*s.core.find(request_id{2})));
  s.take(1, 1);
  EXPECT_EQ(s.next(true), (ids{1})) << "nobody waits for a step that will not come";
}

TEST(shard_core, steps_of_many_rows_come_in_turn_and_take_waiting_ones_of_few_along) {
  shared_stage s{{0, 4}, 4};
  s.take(1, 1);
  s.take(2, limits::pass_rows_max);
  s.take(3, wide);
  s.take(4, 1);
  EXPECT_EQ(s.next(true), (ids{1, 4})) << "those who decode do not wait for a prompt";
  s.take(1, 1);
  EXPECT_EQ(s.next(true), (ids{2, 1})) << "nor does a prompt wait for ever";
  EXPECT_EQ(s.next(true), (ids{3}));
}

TEST(shard_core, who_has_least_slack_goes_first_and_none_waits_for_ever) {
  shared_stage s{{0, 4}, 3};
  s.take_later(1, limits::pass_rows_max, limits::slack_usual);
  s.take_later(2, limits::pass_rows_max, 0);
  EXPECT_EQ(s.next(true), (ids{2}));
  // A pass of each comes when it is due, however many others keep coming.
  std::size_t before = 0;
  for (s.take_later(2, limits::pass_rows_max, 0); s.next(true) == ids{2};
       s.take_later(2, limits::pass_rows_max, 0)) {
    ASSERT_LE(++before, limits::slack_usual);
  }
  EXPECT_EQ(before, limits::slack_usual - 1U);
}

TEST(shard_core, batch_work_takes_what_others_leave) {
  shared_stage s{{0, 4}, 3};
  s.take_later(1, limits::pass_rows_max, limits::slack_batch);
  s.take_later(2, limits::pass_rows_max, limits::slack_usual);
  s.take_later(3, limits::pass_rows_max, limits::slack_usual);
  EXPECT_EQ(s.next(true), (ids{2}));
  s.take_later(2, limits::pass_rows_max, limits::slack_usual);
  EXPECT_EQ(s.next(true), (ids{3})) << "equals take turns";
  EXPECT_EQ(s.next(true), (ids{2}));
  EXPECT_EQ(s.next(true), (ids{1}));
}

TEST(shard_core, short_prompts_share_a_pass_up_to_a_number_of_rows) {
  shared_stage s{{0, 4}, 4};
  s.take(1, limits::pass_rows_max / 2);
  s.take(2, limits::pass_rows_max / 2 + 1);
  s.take(3, limits::pass_rows_max / 4);
  s.take(4, limits::pass_rows_max / 4);
  EXPECT_EQ(s.next(true), (ids{1, 3, 4}));
  EXPECT_EQ(s.next(true), (ids{2}));
}

TEST(shard_core, where_a_model_is_cut_prompts_are_passed_on_in_smaller_groups) {
  shared_stage half{{0, 2}, 3};
  half.take(1, limits::pass_rows_of_cut_max / 2);
  half.take(2, limits::pass_rows_of_cut_max / 2);
  half.take(3, wide);
  EXPECT_EQ(half.next(true), (ids{1, 2}));
  EXPECT_EQ(half.next(true), (ids{3}));
}

TEST(shard_core, replays_and_logits_wait_for_nobody) {
  shared_stage s{{0, 2}, 2};
  s.take(1, 1);
  s.take(2, 1);
  EXPECT_EQ(s.next(false), (ids{1}));
  EXPECT_EQ(s.next(false), (ids{2}));
  ASSERT_TRUE(s.core.replay({{0, 1, 0}, request_id{1}, epoch{1}}));
  EXPECT_EQ(s.next(true), (ids{1}));
}

TEST(shard_core, a_failure_is_that_of_its_request_alone) {
  shared_stage s{{0, 2}, 3};
  ASSERT_TRUE(s.core.accept(tokens(0, 1, 1, 0, request_id{1})));
  ASSERT_TRUE(s.core.accept(tokens(5, wide, 1, 0, request_id{2})));
  ASSERT_TRUE(s.core.accept(tokens(0, 1, 1, 0, request_id{3})));
  const auto narrow = s.core.next_pass(false);
  ASSERT_EQ(requests_of(narrow), (ids{1}));
  (void)s.do_pass(narrow);
  const auto pass = s.core.next_pass(false);
  ASSERT_EQ(requests_of(pass), (ids{2, 3}));
  const auto outcomes = s.do_pass(pass);
  EXPECT_EQ(outcomes[0].done.error().code, errc::peer_lost);
  ASSERT_TRUE(outcomes[1].done);
  EXPECT_EQ(outcomes[1].length, 1U);
  EXPECT_EQ(decode_frame(*outcomes[1].outgoing)->header.request, request_id{3});
}

TEST(shard_core, counts_a_unit_when_its_window_closes) {
  EXPECT_EQ(units_closed(0, 31, 4), 0U);
  EXPECT_EQ(units_closed(31, 1, 4), 4U);
  EXPECT_EQ(units_closed(0, 96, 4), 12U);
}

// Kept boundaries can be far larger than the KV cache: with few key/value heads and a wide model.
TEST(shard_core, refuses_a_request_whose_kept_boundaries_exceed_the_memory_allowed) {
  constexpr std::size_t kv_bytes = 64 * 64; // positions times K and V of one layer
  stage s{{0, 1}, kv_bytes};
  const auto refused = s.core.open(sharded, epoch{1}, 64, 64);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::over_limit);
  EXPECT_NE(refused.error().message.find("boundaries"), std::string::npos);
  EXPECT_EQ(s.core.find(sharded), nullptr);
  EXPECT_TRUE(s.core.open(sharded, epoch{1}, 32, 32));
  stage last{{3, 4}, kv_bytes}; // keeps none
  EXPECT_TRUE(last.core.open(sharded, epoch{1}, 64, 64));
}

TEST(shard_core, begins_afresh_where_what_it_computes_is_further_than_its_next_driver_knows) {
  stage s{{0, 2}};
  s.open();
  (void)s.send(tokens(0, 15));
  ASSERT_TRUE(s.core.accept(tokens(15, 1)));
  const auto pass = s.core.next_pass(false);
  ASSERT_EQ(pass.size(), 1U);
  ASSERT_TRUE(s.core.open(sharded, epoch{2}, 64, 15));
  (void)s.do_pass(pass);
  EXPECT_EQ(s.core.find(sharded)->length, 0U);
}

TEST(shard_core, keeps_what_it_computes_where_its_next_driver_knows_of_it) {
  stage s{{0, 2}};
  s.open();
  (void)s.send(tokens(0, 15));
  ASSERT_TRUE(s.core.accept(tokens(15, 1)));
  const auto pass = s.core.next_pass(false);
  ASSERT_TRUE(s.core.open(sharded, epoch{2}, 64, 16));
  (void)s.do_pass(pass);
  EXPECT_EQ(s.core.find(sharded)->length, 16U);
}

} // namespace
} // namespace ovir::actors
