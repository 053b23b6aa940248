// Stages with valid keys that say or state what no honest stage does, so that requests end.
#include "tests/hostile/hostile_stage.hpp"

#include <limits>

namespace ovir::test {
namespace {

using namespace actors;

class hole_06 : public hostile_stages {
protected:
  /// A stage that every request is led to joins and does this: the requests go on over others, with
  /// the same bytes, and those that come later are not led to it first.
  void expect_left(const std::string& what, hostile_stage::orders orders,
                   hostile_stage::frames frames = {}) {
    SCOPED_TRACE(what);
    const auto liar = stage(next_key_++, std::move(orders), std::move(frames));
    ASSERT_TRUE(cluster_->wait_until([&] {
      return !liar->opened().empty() || !honest_->complaint().empty();
    })) << "no request is led to it";
    expect_service(2);
    const auto asked = liar->opened();
    expect_service(3);
    EXPECT_EQ(liar->opened(), asked) << "a later request is led to it first";
  }

  static bool opens(const wire_message& order) {
    return std::holds_alternative<wire_open>(order.body);
  }
  static void open_empty(hostile_stage& self, const wire_message& order) {
    if (opens(order)) {
      self.answer(order, session_opened{0, {}});
    }
  }
  static compute::unit_leaf leaf(std::uint8_t value) {
    compute::unit_leaf made{{0, 0}, 32, {}};
    made.boundary.bytes.fill(value);
    return made;
  }

private:
  std::uint8_t next_key_{0x60};
};

TEST_F(hole_06, a_stage_that_fails_in_any_words_costs_no_request_its_answer) {
  for (const errc code : {errc::superseded, errc::nonfinite, errc::digest_mismatch, errc::cancelled,
                          errc::over_limit, errc::internal, errc::peer_lost}) {
    expect_left(std::string{to_string(code)}, [code](hostile_stage& self, const wire_message& m) {
      if (opens(m)) {
        self.answer(m, stage_failed{{code, "so it says"}});
      }
    });
  }
}

TEST_F(hole_06, a_stage_that_answers_what_is_no_answer_costs_no_request_its_answer) {
  expect_left("choices for logits", open_empty,
              [this](hostile_stage& self, const frame_view& view) {
                const frame_header& h = view.header;
                self.send_frame(frame_of(h.request, frame_kind::choice, 1, h.epoch.value,
                                         h.first + h.count - 1));
              });
  expect_left("logits that are no numbers", open_empty,
              [](hostile_stage& self, const frame_view& view) {
                const frame_header& h = view.header;
                const std::vector<float> row(vocabulary, std::numeric_limits<float>::quiet_NaN());
                self.send_frame(encode_frame({frame_kind::logits, h.request, h.epoch,
                                              h.first + h.count - 1, 1, vocabulary, 1},
                                             std::as_bytes(std::span{row})));
              });
  expect_left("one unit with two values", [](hostile_stage& self, const wire_message& m) {
    if (opens(m)) {
      self.answer(m, session_opened{0, {leaf(1)}});
      self.answer(m, step_done{0, 0, {leaf(2)}});
    }
  });
  expect_left("more positions than there are", [](hostile_stage& self, const wire_message& m) {
    if (opens(m)) {
      self.answer(m, session_opened{1'000'000, {}});
    }
  });
}

} // namespace
} // namespace ovir::test
