#include "tests/swarm/hostile_words.hpp"

#include "actors/protocol/wire.hpp"
#include "ledger/keeper/message.hpp"
#include "ledger/rules/command.hpp"
#include "messages/wire/frame.hpp"

#include <array>
#include <string>
#include <utility>
#include <variant>

namespace ovir::swarm {

namespace {

using actors::wire_body;
using actors::wire_message;

constexpr std::uint32_t epochs_apart = 3;

bool order_otherwise(std::vector<std::byte>& bytes, chance& draws) {
  auto read = actors::decode_wire(bytes);
  if (!read) {
    return false;
  }
  wire_message m = std::move(*read);
  const auto small = static_cast<std::uint32_t>(draws.below(24));
  const std::array<wire_body, 9> others{
      actors::close_session{},
      actors::log_token{small, {static_cast<token_id>(draws.below(300)), {}}},
      actors::withdraw_log{},
      actors::finish_session{small},
      actors::resend_logits{small},
      actors::replay_boundaries{small, 1 + small, 1},
      actors::step_done{small, 8, {}},
      actors::stage_failed{{errc::internal, std::string{hostile_reason}}},
      actors::session_opened{small, {}},
  };
  if (draws.one_in(3)) {
    m.driver.value += static_cast<std::uint32_t>(draws.below(2 * epochs_apart)) - epochs_apart;
  } else {
    m.body = others.at(draws.below(others.size()));
  }
  if (!actors::check(m)) {
    return false;
  }
  bytes = actors::encode_wire(m);
  return true;
}

bool compute_otherwise(std::vector<std::byte>& bytes, std::uint32_t& target, chance& draws) {
  const auto read = decode_frame(bytes);
  if (!read) {
    return false;
  }
  frame_header header = read->header;
  std::vector<std::byte> values{read->tensor.begin(), read->tensor.end()};
  switch (draws.below(4)) {
  case 0: ++header.first; break;
  case 1: ++header.epoch.value; break;
  case 2: target = actors::frame_to_lead; break;
  default: break;
  }
  if (!values.empty()) {
    values[4 * draws.below(values.size() / 4)] ^= std::byte{1};
  }
  if (!check(header)) {
    return false;
  }
  bytes = encode_frame(header, values);
  return true;
}

bool settle_otherwise(std::vector<std::byte>& bytes) {
  const auto read = ledger::message_from(bytes);
  const auto* const asked = read ? std::get_if<ledger::submit>(&read->body) : nullptr;
  const auto entry = asked ? ledger::decode_entry(asked->entry) : result<ledger::entry>{error{}};
  const auto* const reserved = entry ? std::get_if<ledger::reserve>(&entry->what) : nullptr;
  if (reserved == nullptr) {
    return false;
  }
  ledger::entry end;
  end.what = ledger::settle{ledger::escrow_of(*reserved)};
  ledger::submit order;
  ledger::encode(end, order.entry);
  bytes = ledger::to_bytes({1, std::move(order)});
  return true;
}

} // namespace

bool tell_otherwise(actors::message_kind what, std::vector<std::byte>& bytes, std::uint32_t& target,
                    chance& draws) {
  switch (what) {
  case actors::message_kind::wire: return order_otherwise(bytes, draws);
  case actors::message_kind::tensor: return compute_otherwise(bytes, target, draws);
  case actors::message_kind::credit: return settle_otherwise(bytes);
  default: return false;
  }
}

} // namespace ovir::swarm
