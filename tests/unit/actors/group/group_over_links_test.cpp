// Members on threads of their own, with messages between them: the bits of one segment, and what
// comes of members that die, freeze or say what cannot be.
#include "actors/group/group_leader.hpp"
#include "actors/group/group_member.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/unit/actors/group/memory_network.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using namespace ovir::compute;
using testing::HasSubstr;

constexpr std::size_t kv_most = 1U << 24U;
constexpr std::uint32_t room = 80;

using test::memory_links;
using test::memory_network;

/// What became of a member's thread.
struct ended_member {
  std::string error;
  std::size_t sessions{0};
  std::size_t kv_bytes{0};
};

/// A member that ends once it has served so many orders. Number 0: none.
struct doomed_member {
  std::uint32_t member{0};
  std::size_t orders{0};
  bool seen{true}; ///< the others notice at once
};

/// A group, its members on threads; the leader's segment is the test's.
class running_group {
public:
  /// `whole`: the leader has all weights, too.
  running_group(const model& m, const segment_cut& cut, const doomed_member& victim = {},
                bool whole = false)
      : network_(cut.members.size()), ended_(cut.members.size()), victim_(victim) {
    const kernel_set& kernels = *select_kernels({}).value();
    for (std::uint32_t i = 1; i < cut.members.size(); ++i) {
      threads_.emplace_back([this, &m, &kernels, cut, i] { serve(m, cut, kernels, i); });
    }
    auto part = segment_part::make(m, cut, 0, kernels, runner_).value();
    std::unique_ptr<segment_part> alone;
    if (whole) {
      const std::vector<std::uint32_t> one{1};
      const auto all = cut_segment(m, cut.layers, one).value();
      alone = segment_part::make(m, all, 0, kernels, runner_).value();
    }
    auto engine = std::make_unique<group_leader>(seat_of(0), std::move(part), std::move(alone),
                                                 std::make_shared<memory_links>(network_, 0));
    leader_ = engine.get();
    segment_ = segment::make_with(m, cut.layers, kernels, std::move(engine)).value();
  }
  ~running_group() { end(); }

  /// The leader goes, and the others with it.
  void end() {
    if (segment_) {
      segment_.reset();
      network_.leave(0, true);
    }
    for (std::thread& t : threads_) {
      t.join();
    }
    threads_.clear();
  }
  [[nodiscard]] segment& get() { return *segment_; }
  [[nodiscard]] const group_leader& leader() const { return *leader_; }
  void check_passes(std::function<bool(std::uint64_t)> which) {
    leader_->check_passes(std::move(which));
  }
  [[nodiscard]] memory_network& network() { return network_; }
  [[nodiscard]] const ended_member& ended(std::size_t i) const { return ended_[i]; }

private:
  static group_seat seat_of(std::uint32_t self) { return {77, self, self == 0 ? 250ms : 500ms}; }

  void serve(const model& m, const segment_cut& cut, const kernel_set& kernels, std::uint32_t i) {
    serial_runner runner;
    memory_links links{network_, i};
    auto part = segment_part::make(m, cut, i, kernels, runner).value();
    group_member member{seat_of(i), std::move(part), links, kv_most};
    bool seen = true;
    for (std::size_t orders = 0;; ++orders) {
      if (victim_.member == i && orders == victim_.orders) {
        seen = victim_.seen;
        break;
      }
      const auto served = member.serve(links.now() + 1h, runner);
      if (!served || *served != group_member::served::order) {
        ended_[i].error = served ? "" : served.error().message;
        seen = !served;
        break;
      }
    }
    ended_[i].sessions = member.sessions();
    ended_[i].kv_bytes = member.kv_bytes();
    network_.leave(i, seen);
  }

  memory_network network_;
  serial_runner runner_;
  std::vector<ended_member> ended_;
  const doomed_member victim_;
  group_leader* leader_{nullptr};
  std::unique_ptr<segment> segment_;
  std::vector<std::thread> threads_;
};

/// A request on some segment, and on one that has all weights: they must agree at every step.
struct twin_request {
  segment_state state;
  segment_state alone;
  position at{0};

  twin_request(const segment& s, const segment& one)
      : state(s.open(room, kv_most).value()), alone(one.open(room, kv_most).value()) {}
};

class group_over_links : public testing::Test {
protected:
  group_over_links()
      : model_(test::synthetic_model({.layers = 8,
                                      .dim = 256,
                                      .ffn_dim = 768,
                                      .heads = 8,
                                      .kv_heads = 4,
                                      .head_dim = 64,
                                      .quantization = synth_quantization::q8_0})),
        alone_(segment::make(model_.get(), {0, 8}, *select_kernels({}).value(), runner_).value()) {}

  segment_cut cut(const std::vector<std::uint32_t>& shares, const cut_wish& wish = {}) {
    return cut_segment(model_.get(), {0, 8}, shares, wish).value();
  }
  std::vector<token_id> tokens_of(position at, std::uint32_t n) {
    std::vector<token_id> tokens;
    for (std::uint32_t i = 0; i < n; ++i) {
      tokens.push_back((at + i) * 31 % 320);
    }
    return tokens;
  }
  result<void> forward(segment& s, segment_state& state, position at, std::uint32_t n,
                       step_output& out) {
    const auto tokens = tokens_of(at, n);
    step_input in{.first = at, .count = n};
    in.tokens = tokens;
    in.logit_rows = 1;
    return s.forward(state, in, runner_, out);
  }
  /// One step of both, and that they are the same.
  void step(segment& s, twin_request& r, std::uint32_t n) {
    step_output got;
    step_output wanted;
    const auto done = forward(s, r.state, r.at, n, got);
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_TRUE(forward(*alone_, r.alone, r.at, n, wanted));
    test::expect_same(got.logits, wanted.logits, "from position " + std::to_string(r.at));
    EXPECT_EQ(got.leaves, wanted.leaves);
    r.at += n;
    expect_same_kv(r);
  }
  void expect_same_kv(const twin_request& r) {
    for (layer_index l = 0; l < 8; ++l) {
      for (std::uint32_t h = 0; h < 4; ++h) {
        const std::size_t n = std::size_t{r.at} * 64;
        ASSERT_TRUE(
            std::equal(r.alone.kv.keys(l, h), r.alone.kv.keys(l, h) + n, r.state.kv.keys(l, h)));
        ASSERT_TRUE(std::equal(r.alone.kv.values(l, h), r.alone.kv.values(l, h) + n,
                               r.state.kv.values(l, h)));
      }
    }
  }

  serial_runner runner_;
  test::loaded_model model_;
  std::unique_ptr<segment> alone_;
};

TEST_F(group_over_links, gives_the_bits_of_one_for_groups_of_two_three_and_four) {
  const std::vector<cut_wish> ways{{output_cut::rows, output_cut::rows, 2},
                                   {output_cut::columns, output_cut::columns, 0}};
  for (const std::vector<std::uint32_t>& shares :
       {std::vector<std::uint32_t>{1, 1}, {1, 3, 2}, {4, 1, 1, 2}}) {
    for (const cut_wish& wish : ways) {
      running_group group{model_.get(), cut(shares, wish)};
      twin_request r{group.get(), *alone_};
      for (const std::uint32_t n : {35U, 1U, 1U, 3U}) {
        step(group.get(), r, n);
        ASSERT_FALSE(HasFailure()) << shares.size() << " members";
      }
    }
  }
}

TEST_F(group_over_links, takes_up_a_request_and_leaves_it_to_one_with_all_weights) {
  running_group group{model_.get(), cut({2, 1, 1})};
  twin_request r{group.get(), *alone_};
  step(*alone_, r, 33);
  step(group.get(), r, 2); // the members have no K and V of the first 33
  step(group.get(), r, 1);
  step(*alone_, r, 1);
  step(group.get(), r, 1); // nor of that one
  group.end();
  EXPECT_EQ(group.ended(1).error, "");
}

TEST_F(group_over_links, goes_on_with_the_same_bytes_when_a_member_dies_at_any_order) {
  for (std::size_t orders = 0; orders < 6; ++orders) {
    running_group group{model_.get(), cut({1, 1, 1}), {2, orders}};
    twin_request r{group.get(), *alone_};
    segment* with = &group.get();
    bool lost = false;
    for (const std::uint32_t n : {9U, 1U, 1U, 1U}) {
      step_output out;
      const auto done = forward(*with, r.state, r.at, n, out);
      if (!done) {
        EXPECT_EQ(done.error().code, errc::peer_lost);
        EXPECT_THAT(done.error().message, HasSubstr("member 2 is gone"));
        EXPECT_TRUE(group.leader().lost());
        EXPECT_FALSE(forward(*with, r.state, r.at, n, out)) << "a group is not mended";
        lost = true;
        with = alone_.get();
        ASSERT_TRUE(forward(*with, r.state, r.at, n, out));
      }
      step_output wanted;
      ASSERT_TRUE(forward(*alone_, r.alone, r.at, n, wanted));
      test::expect_same(out.logits, wanted.logits, "from position " + std::to_string(r.at));
      r.at += n;
      expect_same_kv(r);
    }
    EXPECT_TRUE(lost) << orders;
  }
}

TEST_F(group_over_links, whose_leader_has_all_weights_goes_on_alone_within_the_same_step) {
  for (std::size_t orders = 0; orders < 8; ++orders) {
    for (const bool seen : {true, false}) {
      running_group group{model_.get(), cut({1, 1, 1}), {2, orders, seen}, true};
      twin_request r{group.get(), *alone_};
      for (const std::uint32_t n : {33U, 1U, 1U, 1U}) {
        step(group.get(), r, n);
        ASSERT_FALSE(HasFailure()) << orders << " orders";
      }
      ASSERT_TRUE(orders > 6 || group.leader().lost()) << orders;
      if (group.leader().lost()) {
        EXPECT_THAT(group.leader().lost()->message, HasSubstr("member 2"));
      }
    }
  }
}

TEST_F(group_over_links, names_the_member_that_is_frozen_when_its_time_is_over) {
  // Its links stay, and nothing comes.
  running_group group{model_.get(), cut({1, 1, 1}), {1, 1, false}};
  twin_request r{group.get(), *alone_};
  step_output out;
  const auto done = forward(group.get(), r.state, 0, 4, out);
  const auto next = done ? forward(group.get(), r.state, 4, 1, out) : done;
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, errc::peer_lost);
  EXPECT_THAT(next.error().message, HasSubstr("member 1"));
}

TEST_F(group_over_links, ignores_what_comes_twice) {
  running_group group{model_.get(), cut({1, 2})};
  group.network().meddle([](std::uint32_t, std::uint32_t, const memory_network::bytes& b) {
    const bool twice = crosses(decode_group(*b).value().header.kind);
    return std::vector<memory_network::bytes>(twice ? 2 : 1, b);
  });
  twin_request r{group.get(), *alone_};
  step(group.get(), r, 5);
  step(group.get(), r, 1);
}

TEST_F(group_over_links, names_the_member_that_says_what_cannot_be) {
  struct lie {
    std::string words;
    std::function<std::vector<memory_network::bytes>(const group_view&, memory_network::bytes)>
        tell;
  };
  const auto changed = [](const group_view& v, auto change) {
    group_header h = v.header;
    std::vector<std::byte> payload(v.payload.begin(), v.payload.end());
    change(h, payload);
    return std::make_shared<const std::vector<std::byte>>(encode_group(h, payload));
  };
  const std::vector<lie> lies{
      {"two parts that contradict each other",
       [&](const group_view& v, memory_network::bytes b) {
         const auto other = changed(v, [](group_header&, auto& p) { p[0] ^= std::byte{1}; });
         return std::vector<memory_network::bytes>{std::move(b), other};
       }},
      {"in another's name",
       [&](const group_view& v, const memory_network::bytes&) {
         return std::vector<memory_network::bytes>{
             changed(v, [](group_header& h, auto&) { h.member = 1; })};
       }},
      {"another step than its number says",
       [&](const group_view& v, const memory_network::bytes&) {
         return std::vector<memory_network::bytes>{
             changed(v, [](group_header& h, auto&) { h.layer += 1; })};
       }},
      {"does not begin like a message",
       [&](const group_view&, const memory_network::bytes&) {
         return std::vector<memory_network::bytes>{
             std::make_shared<const std::vector<std::byte>>(100)};
       }},
      {"rows of numbers of",
       [&](const group_view& v, const memory_network::bytes&) {
         return std::vector<memory_network::bytes>{changed(v, [](group_header& h, auto& p) {
           p.resize(p.size() / h.width * (h.width - 1));
           h.width -= 1;
         })};
       }},
  };
  for (const lie& one : lies) {
    running_group group{model_.get(), cut({1, 1, 1})};
    group.network().meddle(
        [&](std::uint32_t from, std::uint32_t to, const memory_network::bytes& b) {
          const group_view v = decode_group(*b).value();
          const bool lies_now = from == 2 && to == 0 && v.header.kind == group_kind::rows &&
                                v.header.layer == 5 && v.header.block == 2;
          return lies_now ? one.tell(v, b) : std::vector{b};
        });
    twin_request r{group.get(), *alone_};
    step_output out;
    const auto done = forward(group.get(), r.state, 0, 1, out);
    ASSERT_FALSE(done) << one.words;
    EXPECT_EQ(done.error().code, errc::peer_lost);
    EXPECT_THAT(done.error().message, HasSubstr("member 2"));
    if (one.words.find("begin like") == std::string::npos) {
      EXPECT_THAT(done.error().message, HasSubstr(one.words));
    }
  }
}

TEST_F(group_over_links, is_no_more_once_a_member_computes_something_else) {
  // One number of what member 2 sends changes: the leader computes such a pass alone as well.
  for (const group_kind kind :
       {group_kind::quantised, group_kind::rows, group_kind::written, group_kind::logits}) {
    for (const std::uint64_t checked : {1U, 2U}) {
      running_group group{
          model_.get(), cut({1, 1, 1}, {output_cut::rows, output_cut::rows, 0}), {}, true};
      group.check_passes([&](std::uint64_t pass) { return pass == checked; });
      std::uint64_t pass = 0;
      group.network().meddle(
          [&](std::uint32_t from, std::uint32_t, const memory_network::bytes& b) {
            const group_view v = decode_group(*b).value();
            pass = std::max(pass, v.header.pass);
            if (from != 2 || v.header.kind != kind || pass != checked) {
              return std::vector{b};
            }
            std::vector<std::byte> payload(v.payload.begin(), v.payload.end());
            const std::size_t at = payload[1] == std::byte{0x81} ? 2 : 1; // no -128
            payload[at] ^= std::byte{1};
            return std::vector<memory_network::bytes>{
                std::make_shared<const std::vector<std::byte>>(encode_group(v.header, payload))};
          });
      twin_request r{group.get(), *alone_};
      for (const std::uint32_t n : {5U, 1U, 1U}) {
        step(group.get(), r, n);
        ASSERT_FALSE(HasFailure()) << "kind " << static_cast<int>(kind) << ", pass " << checked;
      }
      ASSERT_TRUE(group.leader().lost()) << static_cast<int>(kind);
      EXPECT_THAT(group.leader().lost()->message,
                  HasSubstr(kind == group_kind::logits ? "member 2 sent another logit"
                                                       : "is another by all weights"));
    }
  }
}

TEST_F(group_over_links, says_what_one_says_also_of_passes_that_are_checked) {
  running_group group{model_.get(), cut({1, 2}), {}, true};
  std::uint64_t passes = 0;
  group.check_passes([&](std::uint64_t pass) {
    passes = pass;
    return pass % 2 == 1;
  });
  twin_request r{group.get(), *alone_};
  for (const std::uint32_t n : {35U, 1U, 1U, 3U, 1U}) {
    step(group.get(), r, n);
  }
  EXPECT_EQ(passes, 5U);
  EXPECT_FALSE(group.leader().lost());
}

TEST_F(group_over_links, lives_on_when_sessions_fail) {
  const layer_range layers{2, 8};
  const auto alone =
      segment::make(model_.get(), layers, *select_kernels({}).value(), runner_).value();
  running_group group{model_.get(),
                      cut_segment(model_.get(), layers, std::vector<std::uint32_t>{1, 1}).value()};
  std::vector<float> good(256, 0.5F);
  std::vector<float> bad = good;
  bad[7] = std::numeric_limits<float>::quiet_NaN();
  const auto forward_both = [&](segment& s, const std::vector<const std::vector<float>*>& rows) {
    std::vector<segment_state> states;
    std::vector<step_output> out(rows.size());
    std::vector<session_step> steps;
    std::vector<std::string> said;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      states.push_back(s.open(8, kv_most).value());
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      step_input in{.first = 0, .count = 1};
      in.boundary = *rows[i];
      in.logit_rows = 1;
      steps.push_back({&states[i], in, &out[i]});
    }
    s.forward(steps, runner_);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      said.push_back(steps[i].done ? std::to_string(out[i].logits[3])
                                   : steps[i].done.error().message);
    }
    return said;
  };
  // All of a pass, some of one, and none.
  for (const std::vector<const std::vector<float>*>& rows :
       {std::vector<const std::vector<float>*>{&bad}, {&good, &bad, &good}, {&good}}) {
    EXPECT_EQ(forward_both(group.get(), rows), forward_both(*alone, rows));
  }
  EXPECT_FALSE(group.leader().lost());
}

TEST_F(group_over_links, forgets_requests_that_ended) {
  running_group group{model_.get(), cut({1, 1})};
  {
    twin_request first{group.get(), *alone_};
    step(group.get(), first, 3);
  }
  twin_request second{group.get(), *alone_};
  step(group.get(), second, 3);
  group.end();
  EXPECT_EQ(group.ended(1).sessions, 1U);
  EXPECT_GT(group.ended(1).kv_bytes, 0U);
}

/// A leader that says what it likes.
class hostile_leader : public group_over_links {
protected:
  result<group_member::served> tell(group_header h, const std::vector<std::byte>& payload,
                                    std::uint32_t from = 0) {
    memory_network network{2};
    memory_links links{network, 1};
    const auto halves = cut({1, 1});
    auto part = segment_part::make(model_.get(), halves, 1, *select_kernels({}).value(), runner_);
    group_member member{{77, 1, 250ms}, std::move(part).value(), links, 100'000};
    h.group = 77;
    h.member = static_cast<std::uint16_t>(from);
    network.send(from, 1, std::make_shared<const std::vector<std::byte>>(encode_group(h, payload)));
    return member.serve(links.now(), runner_);
  }
  static group_header begin(std::uint32_t width) {
    return {.kind = group_kind::begin, .rows = 1, .width = width, .pass = 1};
  }
};

TEST_F(hostile_leader, makes_no_member_compute_or_keep_what_it_may_not) {
  const std::vector<float> stream(256);
  struct order {
    group_header header;
    std::vector<std::byte> payload;
    std::string words;
  };
  const std::vector<std::uint32_t> row{0};
  for (const order& one : {
           order{begin(256), begin_payload(std::vector<group_session>{{1, 3, 1, 9}}, stream),
                 "positions 3 to 4 of a session that has 0"},
           order{begin(256), begin_payload(std::vector<group_session>{{1, 0, 1, 513}}, stream),
                 "a context of 512"},
           order{begin(256), begin_payload(std::vector<group_session>{{1, 0, 1, 400}}, stream),
                 "KV cache of 400 positions"},
           order{begin(255),
                 begin_payload(std::vector<group_session>{{1, 0, 1, 9}},
                               std::span{stream}.first(255)),
                 "rows of 255 elements"},
           order{{.kind = group_kind::head, .rows = 1, .pass = 1},
                 std::vector<std::byte>(4),
                 "logits of row 0 of pass 1"},
           order{{.kind = group_kind::history, .rows = 1, .width = 4},
                 history_payload({1, 0, 1, 9}, std::vector<std::uint16_t>(4)),
                 "K and V of positions 0 to 1"},
           order{{.kind = group_kind::formed}, {}, "an order of kind 11"},
       }) {
    const auto served = tell(one.header, one.payload);
    ASSERT_FALSE(served) << one.words;
    EXPECT_THAT(served.error().message, HasSubstr(one.words));
  }
  EXPECT_EQ(tell({.kind = group_kind::part}, {}).value(), group_member::served::end);
  EXPECT_THAT(tell({.kind = group_kind::part}, {}, 1).error().message, HasSubstr("gives orders"));
}

} // namespace
} // namespace ovir::actors
