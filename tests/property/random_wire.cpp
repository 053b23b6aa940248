#include "tests/property/random_wire.hpp"

#include "compute/model/transcript.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <array>

namespace ovir::test {

namespace {

using namespace actors;

/// Draws the parts of a message. Bounds are inclusive and often drawn themselves.
class drawer {
public:
  explicit drawer(std::mt19937_64& random) : random_(random) {}

  std::uint32_t upto(std::uint32_t most) {
    const auto one_of_four = random_() % 4;
    if (one_of_four == 0) {
      return random_() % 2 == 0 ? most : 0;
    }
    return static_cast<std::uint32_t>(random_() % (std::uint64_t{most} + 1));
  }
  std::uint32_t between(std::uint32_t least, std::uint32_t most) {
    return least + upto(most - least);
  }
  bool coin() { return random_() % 2 == 0; }
  std::uint64_t number() { return random_() >> (random_() % 64); }

  std::array<std::uint8_t, 32> bytes32() {
    std::array<std::uint8_t, 32> bytes{};
    std::generate(bytes.begin(), bytes.end(),
                  [this] { return static_cast<std::uint8_t>(random_()); });
    return bytes;
  }
  std::string text(std::uint32_t least, std::uint32_t most, std::string_view alphabet) {
    std::string text(between(least, most), '\0');
    for (char& c : text) {
      c = alphabet[random_() % alphabet.size()];
    }
    return text;
  }
  layer_range layers() {
    const std::uint32_t last = between(1, limits::layers_max);
    return {upto(last - 1), last};
  }
  drawn_token drawn() { return {upto(limits::vocabulary_max - 1), digest{bytes32()}}; }
  request_log log(request_id id);
  wire_open open(request_id id);
  std::vector<digest> names(std::uint32_t least);
  replay_boundaries replay();
  std::vector<compute::unit_leaf> leaves();
  actors::reuse_told told();
  stage_failed failed();
  sampling_params sampling();

private:
  std::mt19937_64& random_;
};

constexpr std::uint32_t list_max = 40;

sampling_params drawer::sampling() {
  sampling_params s;
  const auto share = [this] { return static_cast<double>(random_() >> 11U) * 0x1p-53; };
  s.temperature = coin() ? 0.0F : static_cast<float>(0.001 + share() * 999);
  s.top_k = static_cast<std::uint32_t>(random_() % (limits::vocabulary_max + 1));
  s.top_p = 1 - share();
  s.min_p = share();
  s.repeat_penalty = static_cast<float>(0.02 + share() * 99);
  s.seed = random_();
  s.constraint = coin() ? "" : text(1, 4'000, "{}\":,abc");
  if (coin()) {
    s.presence_penalty = static_cast<float>(share() * 4 - 2);
    s.frequency_penalty = static_cast<float>(share() * 4 - 2);
    s.min_tokens = s.constraint.empty() ? upto(5) : 0;
    for (token_id id = upto(9); coin() && id < limits::vocabulary_max; id += 1 + upto(1'000)) {
      s.logit_bias.push_back({id, static_cast<float>(share() * 99 + 0.5)});
    }
  }
  return s;
}

request_log drawer::log(request_id id) {
  request_log log;
  log.id = id;
  log.generation = static_cast<std::uint32_t>(number() % (limits::generations_max + 1));
  log.model = digest{bytes32()};
  log.prompt.resize(between(1, list_max));
  for (token_id& token : log.prompt) {
    token = upto(limits::vocabulary_max - 1);
  }
  log.sampling = sampling();
  log.receipt = upto(1) == 1;
  log.reveal = upto(1) == 1 ? reveal_when::after : reveal_when::at_once;
  log.second = upto(1) == 1;
  if (upto(3) == 0) {
    ends_rule& rule = log.ends.emplace();
    rule.nodes.resize(between(1, limits::ends_nodes_max));
    for (node_id& node : rule.nodes) {
      node.key = bytes32();
      node.key[0] |= 1; // not zero
    }
    std::sort(rule.nodes.begin(), rule.nodes.end());
    rule.nodes.erase(std::unique(rule.nodes.begin(), rule.nodes.end()), rule.nodes.end());
    rule.first = between(1, limits::ends_layers_max);
    rule.last = between(1, limits::ends_layers_max);
    rule.salt.bytes = bytes32();
    rule.salt.bytes[0] |= 1;
  }
  if (upto(3) == 0) {
    tier_demand& tier = log.tier.emplace();
    tier.attestors.resize(between(1, limits::tier_attestors_max));
    for (node_id& attestor : tier.attestors) {
      attestor.key = bytes32();
      attestor.key[0] |= 1; // not zero
    }
    std::sort(tier.attestors.begin(), tier.attestors.end());
    tier.attestors.erase(std::unique(tier.attestors.begin(), tier.attestors.end()),
                         tier.attestors.end());
    tier.properties.operated_by = text(0, limits::attested_operator_bytes_max, "ab.-");
    tier.properties.region = text(0, limits::attested_region_bytes_max, "ab.-");
    tier.properties.confidential = text(0, limits::attested_level_bytes_max, "ab.-");
  }
  log.drawn.resize(upto(list_max));
  for (drawn_token& one : log.drawn) {
    one = drawn();
  }
  log.max_tokens =
      between(std::max(static_cast<std::uint32_t>(log.drawn.size()), log.sampling.min_tokens),
              limits::context_max);
  log.stop.resize(upto(limits::stop_strings_max));
  for (std::string& stop : log.stop) {
    stop = text(1, limits::stop_string_bytes_max, std::string_view{"\0\n\xff\\ab", 6});
  }
  return log;
}

std::vector<digest> drawer::names(std::uint32_t least) {
  std::vector<digest> names(between(least, list_max));
  for (digest& name : names) {
    name = digest{bytes32()};
  }
  return names;
}

wire_open drawer::open(request_id id) {
  wire_open m;
  m.model = digest{bytes32()};
  m.layers = layers();
  m.positions = between(1, limits::context_max);
  m.keep = upto(limits::context_max);
  m.answers = static_cast<actors::stage_answers>(upto(2));
  m.signs = coin();
  m.traces = coin();
  m.sealed = coin();
  m.next.lead = coin();
  m.next.node = node_id{bytes32()};
  if (!m.next.lead) {
    m.next.layers = layers();
  }
  m.previous = node_id{bytes32()};
  if (coin()) {
    m.log = log(id);
  }
  if (coin()) {
    m.reuse = actors::reuse_order{0, names(0), false, std::nullopt};
    m.reuse->explain = coin();
    if (coin()) {
      m.reuse->doubted_from = upto(limits::context_max / limits::window_positions - 1);
    }
    m.reuse->windows = upto(static_cast<std::uint32_t>(m.reuse->prefixes.size()));
  }
  return m;
}

replay_boundaries drawer::replay() {
  const std::uint32_t count = between(1, limits::context_max);
  return {upto(limits::context_max - count), count, upto(count)};
}

std::vector<compute::unit_leaf> drawer::leaves() {
  std::vector<compute::unit_leaf> leaves(upto(list_max));
  for (compute::unit_leaf& leaf : leaves) {
    leaf.unit = {upto(limits::context_max / limits::window_positions - 1),
                 upto(limits::layers_max - 1)};
    leaf.positions = between(1, limits::window_positions);
    leaf.boundary = digest{bytes32()};
  }
  return leaves;
}

reuse_told drawer::told() {
  constexpr std::uint32_t windows_max = limits::context_max / limits::window_positions;
  reuse_told told;
  told.wanted = upto(windows_max);
  told.found = upto(told.wanted);
  told.end = static_cast<reuse_end>(upto(4));
  told.others.choice = static_cast<fetch_choice>(upto(4));
  told.others.windows = upto(windows_max);
  told.others.windows_got = upto(told.others.windows);
  told.others.blocks = upto(1U << 25U);
  told.others.fetch_us = number();
  told.others.compute_us = number();
  told.others.took_us = number();
  return told;
}

stage_failed drawer::failed() {
  constexpr std::array codes{errc::busy,        errc::timed_out,       errc::peer_lost,
                             errc::malformed,   errc::over_limit,      errc::nonfinite,
                             errc::cancelled,   errc::digest_mismatch, errc::io_failed,
                             errc::unsupported, errc::internal};
  return {
      error{codes[random_() % codes.size()], text(0, limits::error_text_bytes_max, "abcdefgh ,.")}};
}

wire_body body_of(drawer& draw, std::size_t kind, request_id id) {
  const std::uint32_t length = draw.upto(limits::context_max);
  switch (kind) {
  case 0: return draw.open(id);
  case 1: return draw.replay();
  case 2: return resend_logits{draw.upto(limits::context_max - 1)};
  case 3: return finish_session{draw.coin() ? length : 0};
  case 4: return close_session{};
  case 5: return log_token{draw.upto(limits::context_max - 1), draw.drawn()};
  case 6: {
    session_opened opened{length, draw.leaves()};
    if (draw.coin()) {
      opened.replays_from = draw.upto(length);
      opened.reused = {draw.upto(1U << 25U), draw.upto(1U << 25U), draw.upto(1U << 25U)};
      opened.inputs = draw.names(0);
      opened.inputs.resize(std::min<std::size_t>(opened.inputs.size(), length / 32));
    }
    if (draw.coin()) {
      opened.told = draw.told();
    }
    return opened;
  }
  case 7:
    return step_done{length, draw.number(), draw.leaves(), step_time{draw.upto(0xffff'ffff)},
                     step_time{draw.upto(0xffff'ffff)}};
  case 8: return session_finished{length, draw.number(), draw.number(), draw.leaves()};
  case 9: return draw.failed();
  case 10: return wire_adopt{draw.log(id)};
  case 11:
    return sign_evidence{
        {{id, digest{draw.bytes32()}, digest{draw.bytes32()}, std::string{compute::profile_name},
          1 + draw.upto(limits::layers_max - 1)},
         draw.number()}};
  case 12: return name_windows{draw.upto(1'000), draw.names(1)};
  case 13: return wire_load{digest{draw.bytes32()}, draw.layers(), draw.number() % 2 == 0};
  case 14: return withdraw_log{};
  case 15: return wire_load_failed{digest{draw.bytes32()}, draw.failed().reason};
  case 17: return wire_asked{digest{draw.bytes32()}};
  case 16: return wire_unload{digest{draw.bytes32()}, draw.layers()};
  default: return wire_adopted{};
  }
}

} // namespace

wire_message random_wire(std::mt19937_64& random) {
  drawer draw{random};
  wire_message message;
  message.request = request_id{draw.number()};
  message.driver = epoch{static_cast<std::uint32_t>(draw.number())};
  message.stage = draw.upto(limits::layers_max - 1);
  message.body = body_of(draw, random() % std::variant_size_v<wire_body>, message.request);
  if (const auto* const open = std::get_if<wire_open>(&message.body)) {
    message.stage = open->layers.first;
  } else if (const auto* const load = std::get_if<wire_load>(&message.body)) {
    message.stage = load->layers.first;
  } else if (const auto* const drop = std::get_if<wire_unload>(&message.body)) {
    message.stage = drop->layers.first;
  }
  return message;
}

} // namespace ovir::test
