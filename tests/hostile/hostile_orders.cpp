#include "tests/hostile/hostile_orders.hpp"

#include <cstring>

namespace ovir::test {

using namespace actors;

namespace {

std::vector<compute::unit_leaf> leaves_of(std::uint32_t count, std::uint32_t layers) {
  std::vector<compute::unit_leaf> leaves(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    leaves[i].unit = {i % 4, i % layers};
    leaves[i].positions = 32;
  }
  return leaves;
}

} // namespace

request_log hostile_orders::log_of(request_id request, std::size_t prompt,
                                   std::uint32_t max_tokens) const {
  request_log log;
  log.id = request;
  log.model = model_;
  log.prompt.assign(prompt, 7);
  log.max_tokens = max_tokens;
  return log;
}

wire_message hostile_orders::open_of(request_id request, layer_range range, std::uint32_t positions,
                                     epoch driver) const {
  wire_open open;
  open.model = model_;
  open.layers = range;
  open.positions = positions;
  open.next.lead = true;
  open.previous = id_of(attacker::scheduler);
  return {request, driver, range.first, open};
}

std::vector<wire_message> hostile_orders::every_kind(request_id request, layer_index stage) const {
  const epoch driver{1};
  const auto leaves = leaves_of(8, layers);
  return {open_of(request, {stage, stage + 4}, 64),
          {request, driver, stage, replay_boundaries{0, 4, 1}},
          {request, driver, stage, resend_logits{3}},
          {request, driver, stage, finish_session{}},
          {request, driver, stage, close_session{}},
          {request, driver, stage, log_token{0, {5, model_}}},
          {request, driver, stage, withdraw_log{}},
          {request, driver, stage, session_opened{4, leaves}},
          {request, driver, stage, step_done{44, 8, leaves}},
          {request, driver, stage, session_finished{44, 8, 4'096, leaves}},
          {request, driver, stage, stage_failed{{errc::internal, "no \x1b[2J luck"}}},
          {request, {}, 0, wire_adopted{}}};
}

std::vector<std::byte> hostile_orders::frame_of(request_id request, frame_kind kind,
                                                std::uint32_t count, std::uint32_t driver,
                                                position first) {
  frame_header header;
  header.kind = kind;
  header.request = request;
  header.epoch = epoch{driver};
  header.first = first;
  header.count = count;
  switch (kind) {
  case frame_kind::tokens: header.width = 1; break;
  case frame_kind::logits: header.width = vocabulary; break;
  case frame_kind::choice: header.width = choice_width; break;
  default: header.width = dim;
  }
  header.logit_rows = is_answer(kind) ? count : 1;
  std::vector<std::byte> values = noise(std::size_t{count} * header.width * 4);
  if (kind == frame_kind::tokens) {
    for (std::size_t i = 0; i < values.size(); i += 4) {
      values[i + 1] = values[i + 2] = values[i + 3] = std::byte{};
    }
  }
  return encode_frame(header, values);
}

std::optional<wire_message> hostile_orders::hear(hostile_member& from) {
  while (true) {
    const std::vector<std::byte> header = from.control.receive(16);
    if (header.empty()) {
      return std::nullopt;
    }
    std::uint32_t size = 0;
    std::memcpy(&size, header.data(), sizeof size);
    const std::vector<std::byte> body = from.control.receive(size);
    if (header[4] == std::byte{2}) {
      auto message = decode_wire(body);
      return message ? std::optional{std::move(*message)} : std::nullopt;
    }
  }
}

std::optional<wire_message> hostile_orders::hear_of(hostile_member& from, request_id request,
                                                    epoch driver) {
  auto message = hear(from);
  while (message && (message->request != request || message->driver != driver)) {
    message = hear(from);
  }
  EXPECT_TRUE(message) << "the node says nothing of a request";
  return message;
}

errc hostile_orders::failure_of(const std::optional<wire_message>& message) {
  const auto* const failed = message ? std::get_if<stage_failed>(&message->body) : nullptr;
  return failed == nullptr ? errc{} : failed->reason.code;
}

std::optional<errc> hostile_orders::open(hostile_member& driver, const wire_message& order) const {
  EXPECT_TRUE(driver.wire(order));
  const auto answer = hear_of(driver, order.request, order.driver);
  if (answer && std::holds_alternative<session_opened>(answer->body)) {
    return std::nullopt;
  }
  return failure_of(answer);
}

void hostile_orders::expect_step(hostile_member& driver) {
  const request_id request = next_request();
  ASSERT_EQ(open(driver, open_of(request, {0, 4}, 64)), std::nullopt);
  ASSERT_TRUE(driver.frame(frame_of(request, frame_kind::tokens, 4), 0));
  const auto answer = hear_of(driver, request, epoch{1});
  ASSERT_TRUE(answer);
  EXPECT_TRUE(std::holds_alternative<step_done>(answer->body));
  ASSERT_TRUE(driver.wire({request, epoch{1}, 0, close_session{}}));
}

} // namespace ovir::test
