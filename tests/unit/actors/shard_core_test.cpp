#include "actors/shard_core.hpp"
#include "compute/synth.hpp"
#include "tests/support/loaded_model.hpp"

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

constexpr request_id request{1};

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
    while (auto job = core.next_job()) {
      last = perform(*job, *bench_, runner_);
      (void)core.job_ended(job->request, last.length);
    }
    return last;
  }
  shard_outcome send(const frame_bytes& frame) {
    EXPECT_TRUE(core.accept(frame));
    return work();
  }
  void open(std::uint32_t e = 1) { ASSERT_TRUE(core.open(request, epoch{e}, 64, 64)); }

private:
  compute::serial_runner runner_;
  std::shared_ptr<stage_bench> bench_;

public:
  shard_core core;
};

frame_bytes tokens(position first, std::uint32_t count, std::uint32_t e = 1,
                   std::uint32_t rows = 0) {
  std::vector<token_id> ids(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    ids[i] = (first + i) * 11 % 300;
  }
  const frame_header h{frame_kind::tokens, request, epoch{e}, first, count, 1, rows};
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
  EXPECT_EQ(view.header, (frame_header{frame_kind::boundary, request, epoch{1}, 0, 3, 32, 0}));
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
  ASSERT_TRUE(s.core.replay({request, epoch{1}, 1, 3, 1}));
  const auto replayed = s.work();
  const auto view = decode_frame(*replayed.outgoing).value();
  EXPECT_EQ(view.header, (frame_header{frame_kind::boundary, request, epoch{1}, 1, 3, 32, 1}));
  EXPECT_TRUE(std::equal(view.floats().begin(), view.floats().end(), original.begin() + 32));
  ASSERT_TRUE(s.core.replay({request, epoch{1}, 3, 3, 0}));
  EXPECT_FALSE(s.work().done);
}

TEST(shard_core, the_last_stage_sends_the_logits_asked_for_and_again_on_order) {
  stage s{{0, 4}};
  s.open();
  EXPECT_EQ(s.send(tokens(0, 3)).outgoing, nullptr);
  const auto first = s.send(tokens(3, 1, 1, 1));
  ASSERT_TRUE(first.outgoing);
  EXPECT_EQ(decode_frame(*first.outgoing)->header.kind, frame_kind::logits);
  ASSERT_TRUE(s.core.resend({request, epoch{1}, 3}));
  EXPECT_EQ(*s.work().outgoing, *first.outgoing);
  ASSERT_TRUE(s.core.resend({request, epoch{1}, 2}));
  EXPECT_EQ(s.work().done.error().code, errc::peer_lost);
}

TEST(shard_core, a_new_epoch_voids_what_waits_and_rejects_the_one_before) {
  stage s{{0, 2}};
  s.open(1);
  ASSERT_TRUE(s.core.accept(tokens(0, 2, 1)));
  s.open(2);
  EXPECT_FALSE(s.core.next_job().has_value());
  (void)s.send(tokens(0, 2, 1));
  EXPECT_EQ(s.core.find(request)->length, 0U);
  (void)s.send(tokens(0, 2, 2));
  EXPECT_EQ(s.core.find(request)->length, 2U);
  EXPECT_FALSE(s.core.open(request, epoch{1}, 64, 64));
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
  EXPECT_EQ(small.core.open(request, epoch{1}, 64, 64).error().code, errc::over_limit);
}

// A session closed and opened again while a step of the first is computed: that step's end says
// nothing about the second.
TEST(shard_core, the_end_of_a_job_does_not_touch_a_session_opened_since) {
  stage s{{0, 2}};
  s.open();
  ASSERT_TRUE(s.core.accept(tokens(0, 3)));
  ASSERT_TRUE(s.core.next_job());
  s.core.close(request);
  s.open();
  ASSERT_TRUE(s.core.accept(tokens(0, 2)));
  EXPECT_EQ(s.core.job_ended(request, 3), nullptr);
  EXPECT_EQ(s.core.find(request)->length, 0U);
  EXPECT_EQ(s.work().length, 2U);
  EXPECT_FALSE(s.core.next_job().has_value());
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

TEST(shard_core, requests_take_turns) {
  stage s{{0, 2}};
  ASSERT_TRUE(s.core.open(request_id{1}, epoch{1}, 8, 8));
  ASSERT_TRUE(s.core.open(request_id{2}, epoch{1}, 8, 8));
  for (position p = 0; p < 2; ++p) {
    for (const std::uint64_t id : {1U, 2U}) {
      const token_id token = 5;
      const frame_header h{frame_kind::tokens, request_id{id}, epoch{1}, p, 1, 1, 0};
      ASSERT_TRUE(s.core.accept(std::make_shared<const std::vector<std::byte>>(
          encode_frame(h, std::as_bytes(std::span{&token, 1})))));
    }
  }
  std::vector<std::uint64_t> order;
  while (auto job = s.core.next_job()) {
    EXPECT_FALSE(s.core.next_job().has_value());
    order.push_back(job->request.value);
    (void)s.core.job_ended(job->request, 0);
  }
  EXPECT_EQ(order, (std::vector<std::uint64_t>{1, 2, 1, 2}));
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
  const auto refused = s.core.open(request, epoch{1}, 64, 64);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::over_limit);
  EXPECT_NE(refused.error().message.find("boundaries"), std::string::npos);
  EXPECT_EQ(s.core.find(request), nullptr);
  EXPECT_TRUE(s.core.open(request, epoch{1}, 32, 32));
  stage last{{3, 4}, kv_bytes}; // keeps none
  EXPECT_TRUE(last.core.open(request, epoch{1}, 64, 64));
}

} // namespace
} // namespace ovir::actors
