#include "actors/protocol/wire.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/logprobs.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>

namespace ovir::actors {
namespace {

constexpr request_id wired{0x1122334455667788};

node_id node(std::uint8_t first) {
  node_id id;
  id.key[0] = first;
  return id;
}

request_log log() {
  request_log log;
  log.id = wired;
  log.prompt = {1, 2, 3};
  log.max_tokens = 16;
  log.stop = {"end"};
  log.drawn = {{9, digest{}}};
  return log;
}

wire_message open() {
  wire_open m;
  m.layers = {0, 4};
  m.positions = 64;
  m.next.node = node(2);
  m.next.layers = {4, 8};
  m.previous = node(1);
  m.log = log();
  return {wired, epoch{1}, 0, m};
}

wire_message step(std::vector<compute::unit_leaf> leaves) {
  return {wired, epoch{1}, 2, step_done{64, 2, std::move(leaves)}};
}

/// The code with which `open()` is refused after `change`.
errc refusal(const std::function<void(wire_open&)>& change) {
  wire_message message = open();
  change(std::get<wire_open>(message.body));
  const auto good = check(message);
  EXPECT_FALSE(good);
  return good ? errc::internal : good.error().code;
}

errc refusal(const wire_message& message) {
  const auto good = check(message);
  EXPECT_FALSE(good);
  return good ? errc::internal : good.error().code;
}

errc refusal_of_bytes(const std::vector<std::byte>& bytes) {
  const auto read = decode_wire(bytes);
  EXPECT_FALSE(read);
  return read ? errc::internal : read.error().code;
}

template <class Number>
void put(std::vector<std::byte>& bytes, std::size_t at, Number value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

// Places in every message: prefix (8), root pointer (8), version, kind, epoch, ...
constexpr std::size_t version_at = 16;
constexpr std::size_t kind_at = 18;

TEST(wire, an_open_reads_back_with_its_log) {
  const auto read = decode_wire(encode_wire(open()));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, open());
}

TEST(wire, a_log_says_whether_logprobs_are_wanted_and_of_how_many) {
  for (const auto wanted : {std::optional<std::uint32_t>{}, {0U}, {limits::logprobs_top_max}}) {
    wire_message message = open();
    std::get<wire_open>(message.body).log->logprobs = wanted;
    EXPECT_EQ(decode_wire(encode_wire(message)).value(), message);
  }
}

TEST(wire, a_log_and_an_open_say_whether_a_vector_is_wanted) {
  for (const auto how : {pooling::mean, pooling::last}) {
    wire_message message = open();
    auto& body = std::get<wire_open>(message.body);
    body.log->embedding = how;
    EXPECT_EQ(refusal(message), errc::malformed) << "and nothing is drawn";
    body.log->max_tokens = 0;
    body.log->drawn.clear();
    body.answers = stage_answers::hidden;
    EXPECT_EQ(decode_wire(encode_wire(message)).value(), message);
  }
  EXPECT_EQ(refusal([](wire_open& m) { m.log->embedding = pooling{3}; }), errc::malformed);
}

TEST(wire, a_log_says_when_tokens_are_told_and_which_of_two_runs_it_is_of) {
  wire_message message = open();
  request_log& log = *std::get<wire_open>(message.body).log;
  for (const bool second : {false, true}) {
    log.reveal = reveal_when::after;
    log.second = second;
    EXPECT_EQ(decode_wire(encode_wire(message)).value(), message);
  }
}

TEST(wire, a_log_names_the_nodes_that_may_have_the_ends) {
  wire_message message = open();
  request_log& log = *std::get<wire_open>(message.body).log;
  log.ends = ends_rule{{node(3), node(7)}, 2, 1, hash("salt", {})};
  for (const char* const constraint : {"", "{\"kind\":\"regex\"}"}) {
    log.sampling.constraint = constraint;
    EXPECT_EQ(decode_wire(encode_wire(message)).value(), message);
  }
  EXPECT_LE(encode_wire(message).size(), wire_bytes(message));
  const auto refused = [&](const std::function<void(ends_rule&)>& change) {
    return refusal([&](wire_open& m) {
      m.log->ends = log.ends;
      change(*m.log->ends);
    });
  };
  EXPECT_EQ(refused([](ends_rule& r) { r.nodes.clear(); }), errc::malformed);
  EXPECT_EQ(refused([](ends_rule& r) { std::swap(r.nodes[0], r.nodes[1]); }), errc::malformed);
  EXPECT_EQ(refused([](ends_rule& r) { r.nodes.resize(limits::ends_nodes_max + 1); }),
            errc::over_limit);
  EXPECT_EQ(refused([](ends_rule& r) { r.salt = {}; }), errc::malformed);
  EXPECT_EQ(refused([](ends_rule& r) { r.first = 0; }), errc::malformed);
  EXPECT_EQ(refused([](ends_rule& r) { r.last = limits::ends_layers_max + 1; }), errc::over_limit);
}

TEST(wire, a_log_says_what_its_nodes_must_be_attested) {
  wire_message message = open();
  request_log& log = *std::get<wire_open>(message.body).log;
  for (const bool ends : {false, true}) {
    for (const char* const constraint : {"", "{\"kind\":\"regex\"}"}) {
      log.sampling.constraint = constraint;
      log.ends = ends ? std::optional{ends_rule{{node(3)}, 2, 1, hash("salt", {})}} : std::nullopt;
      for (const node_properties& what :
           {node_properties{}, node_properties{"Example Ltd", "eu", "yes"}}) {
        log.tier = tier_demand{{node(3), node(7)}, what};
        EXPECT_EQ(decode_wire(encode_wire(message)).value(), message);
        EXPECT_LE(encode_wire(message).size(), wire_bytes(message));
      }
    }
  }
  const auto refused = [&](const std::function<void(tier_demand&)>& change) {
    return refusal([&](wire_open& m) {
      m.log->tier = log.tier;
      change(*m.log->tier);
    });
  };
  EXPECT_EQ(refused([](tier_demand& t) { t.attestors.clear(); }), errc::malformed);
  EXPECT_EQ(refused([](tier_demand& t) { std::swap(t.attestors[0], t.attestors[1]); }),
            errc::malformed);
  EXPECT_EQ(refused([](tier_demand& t) { t.attestors.resize(limits::tier_attestors_max + 1); }),
            errc::over_limit);
  EXPECT_EQ(refused([](tier_demand& t) { t.properties.region = "e\nu"; }), errc::malformed);
  EXPECT_EQ(refused([](tier_demand& t) { t.properties.region = std::string(33, 'r'); }),
            errc::over_limit);
}

TEST(wire, another_version_or_kind_is_unsupported) {
  auto bytes = encode_wire(open());
  put<std::uint16_t>(bytes, version_at, 9);
  EXPECT_EQ(refusal_of_bytes(bytes), errc::unsupported);
  bytes = encode_wire(open());
  put<std::uint16_t>(bytes, kind_at, 99);
  EXPECT_EQ(refusal_of_bytes(bytes), errc::unsupported);
}

TEST(wire, a_kind_whose_body_is_missing_is_refused) {
  auto bytes = encode_wire({wired, epoch{1}, 0, close_session{}});
  for (const unsigned kind : {0U, 1U, 5U, 6U, 7U, 8U, 9U, 10U, 11U, 12U, 14U, 15U}) {
    put(bytes, kind_at, static_cast<std::uint16_t>(kind));
    EXPECT_FALSE(decode_wire(bytes)) << kind;
  }
}

TEST(wire, more_bytes_than_a_link_takes_are_over_the_limit) {
  const std::vector<std::byte> bytes(limits::wire_bytes_max + 8);
  EXPECT_EQ(refusal_of_bytes(bytes), errc::over_limit);
}

TEST(wire, more_than_one_segment_is_refused) {
  auto bytes = encode_wire(open());
  put<std::uint32_t>(bytes, 0, 1);
  EXPECT_EQ(refusal_of_bytes(bytes), errc::malformed);
}

// The list of a step lies behind the root (5 words) and its struct (4 words): tag at word 9.
TEST(wire, a_list_that_claims_more_than_is_there_is_refused_before_room_is_made) {
  const compute::unit_leaf leaf{{1, 2}, 32, {}};
  auto bytes = encode_wire(step({leaf}));
  constexpr std::size_t list_pointer_at = 8 + 8 * 8;
  constexpr std::size_t tag_at = 8 + 9 * 8;
  std::uint64_t tag = 0;
  std::memcpy(&tag, bytes.data() + tag_at, sizeof(tag));
  ASSERT_EQ(tag, (std::uint64_t{6} << 32U) | (1U << 2U)) << "one element of six words";
  // Elements without a word, of which any number fits.
  put<std::uint64_t>(bytes, tag_at, 0x1fff'ffffU << 2U);
  EXPECT_EQ(refusal_of_bytes(bytes), errc::malformed);
  // A list of elements of no size.
  put<std::uint64_t>(bytes, list_pointer_at, 1U | (std::uint64_t{0x1fff'ffff} << 35U));
  EXPECT_EQ(refusal_of_bytes(bytes), errc::malformed);
}

TEST(wire, a_node_opens_only_stages_that_exist) {
  EXPECT_EQ(refusal([](wire_open& m) { m.layers = {3, 3}; }), errc::malformed);
  EXPECT_EQ(refusal([](wire_open& m) { m.layers.last = limits::layers_max + 1; }),
            errc::over_limit);
  EXPECT_EQ(refusal([](wire_open& m) { m.next.layers = {8, 4}; }), errc::malformed);
  EXPECT_EQ(refusal([](wire_open& m) { m.next.layers = {}; }), errc::malformed);
  EXPECT_EQ(refusal([](wire_open& m) { m.next.node = {}; }), errc::malformed);
  EXPECT_EQ(refusal([](wire_open& m) { m.previous = {}; }), errc::malformed);
  EXPECT_EQ(refusal([](wire_open& m) { m.positions = 0; }), errc::malformed);
  EXPECT_EQ(refusal([](wire_open& m) { m.positions = limits::context_max + 1; }), errc::over_limit);
  EXPECT_EQ(refusal([](wire_open& m) { m.keep = limits::context_max + 1; }), errc::over_limit);
  EXPECT_EQ(refusal([](wire_open& m) { m.layers.first = 1; }), errc::malformed);
  EXPECT_EQ(refusal([](wire_open& m) { m.answers = stage_answers{3}; }), errc::unsupported);
  wire_message last = open();
  std::get<wire_open>(last.body).next = {.lead = true, .node = {}, .layers = {}};
  EXPECT_TRUE(check(last));
}

TEST(wire, a_log_has_a_prompt_and_keeps_within_its_bounds) {
  EXPECT_EQ(refusal([](wire_open& m) { m.log->prompt.clear(); }), errc::malformed);
  EXPECT_EQ(refusal([](wire_open& m) { m.log->id = request_id{1}; }), errc::malformed);
  EXPECT_EQ(refusal([](wire_open& m) { m.log->prompt.resize(limits::context_max); }),
            errc::over_limit);
  EXPECT_EQ(refusal([](wire_open& m) { m.log->prompt[1] = limits::vocabulary_max; }),
            errc::over_limit);
  EXPECT_EQ(refusal([](wire_open& m) { m.log->drawn[0].token = limits::vocabulary_max; }),
            errc::over_limit);
  EXPECT_EQ(refusal([](wire_open& m) { m.log->max_tokens = 0; }), errc::over_limit);
  EXPECT_EQ(refusal([](wire_open& m) { m.log->logprobs = limits::logprobs_top_max + 1; }),
            errc::over_limit);
  EXPECT_EQ(refusal([](wire_open& m) { m.log->max_tokens = limits::context_max + 1; }),
            errc::over_limit);
  EXPECT_EQ(refusal([](wire_open& m) { m.log->stop.resize(limits::stop_strings_max + 1, "x"); }),
            errc::over_limit);
  EXPECT_EQ(refusal([](wire_open& m) { m.log->stop = {""}; }), errc::malformed);
  EXPECT_EQ(refusal([](wire_open& m) {
              m.log->stop = {std::string(limits::stop_string_bytes_max + 1, 'x')};
            }),
            errc::malformed);
  EXPECT_EQ(refusal([](wire_open& m) {
              m.log->sampling.top_p = std::numeric_limits<double>::quiet_NaN();
            }),
            errc::malformed);
}

TEST(wire, a_log_too_long_for_one_message_is_over_the_limit) {
  EXPECT_EQ(refusal([](wire_open& m) {
              m.log->max_tokens = limits::context_max;
              m.log->drawn.resize(limits::wire_bytes_max / 40);
            }),
            errc::over_limit);
}

TEST(wire, positions_and_tokens_of_small_messages_are_bounded) {
  const auto with = [](wire_body body) {
    return wire_message{wired, epoch{1}, 0, std::move(body)};
  };
  EXPECT_EQ(refusal(with(replay_boundaries{0, 0, 0})), errc::malformed);
  EXPECT_EQ(refusal(with(replay_boundaries{0, 2, 3})), errc::malformed);
  EXPECT_EQ(refusal(with(replay_boundaries{0xffff'ffff, 2, 0})), errc::over_limit);
  EXPECT_EQ(refusal(with(resend_logits{limits::context_max})), errc::over_limit);
  EXPECT_EQ(refusal(with(log_token{limits::context_max, {}})), errc::over_limit);
  EXPECT_EQ(refusal(with(log_token{0, {limits::vocabulary_max, {}}})), errc::over_limit);
  EXPECT_EQ(refusal(with(session_opened{limits::context_max + 1, {}})), errc::over_limit);
  EXPECT_EQ(refusal(with(stage_failed{{static_cast<errc>(99), ""}})), errc::unsupported);
  wire_message far = with(close_session{});
  far.stage = limits::layers_max;
  EXPECT_EQ(refusal(far), errc::over_limit);
}

TEST(wire, an_open_that_may_reuse_names_at_least_the_windows_it_may_take) {
  wire_message message = open();
  auto& reuse = std::get<wire_open>(message.body).reuse.emplace();
  EXPECT_EQ(decode_wire(encode_wire(message)).value(), message); // none is known yet
  reuse.prefixes.resize(3);
  reuse.windows = 3;
  EXPECT_EQ(decode_wire(encode_wire(message)).value(), message);
  reuse.windows = 4;
  EXPECT_EQ(refusal(message), errc::over_limit);
  reuse.windows = 0;
  reuse.prefixes.resize(limits::context_max / limits::window_positions + 1);
  EXPECT_EQ(refusal(message), errc::over_limit);
}

TEST(wire, names_of_windows_are_bounded) {
  const auto names = [](std::uint32_t first, std::size_t count) {
    return wire_message{wired, epoch{1}, 0, name_windows{first, std::vector<digest>(count)}};
  };
  EXPECT_EQ(refusal(names(0, 0)), errc::malformed);
  EXPECT_EQ(decode_wire(encode_wire(names(32'767, 1))).value(), names(32'767, 1));
  EXPECT_EQ(refusal(names(32'767, 2)), errc::over_limit);
  EXPECT_EQ(refusal(names(0xffff'ffff, 2)), errc::over_limit);
}

TEST(wire, what_a_stage_reused_lies_within_what_it_holds) {
  const auto opened = [](position length, position replays_from, units_reused reused) {
    return wire_message{wired, epoch{1}, 0, session_opened{length, {}, replays_from, reused}};
  };
  EXPECT_EQ(decode_wire(encode_wire(opened(64, 64, {1, 2, 3}))).value(), opened(64, 64, {1, 2, 3}));
  EXPECT_EQ(decode_wire(encode_wire(opened(64, 0, {}))).value(), opened(64, 0, {}));
  EXPECT_EQ(refusal(opened(64, 65, {})), errc::malformed);
  EXPECT_EQ(refusal(opened(64, 0, {0, 0, std::uint64_t{1} << 40U})), errc::over_limit);
}

TEST(wire, windows_that_a_stage_reused_lie_within_what_it_holds) {
  const auto opened = [](position length, std::size_t windows) {
    session_opened m{length, {}};
    m.inputs.resize(windows, hash_plain({}));
    return wire_message{wired, epoch{1}, 0, m};
  };
  EXPECT_EQ(decode_wire(encode_wire(opened(95, 2))).value(), opened(95, 2));
  EXPECT_EQ(refusal(opened(95, 3)), errc::malformed);
}

TEST(wire, an_optional_part_that_is_empty_is_not_one_that_is_absent) {
  session_opened opened{64, {}};
  const auto absent = encode_wire({wired, epoch{1}, 0, opened});
  opened.told = reuse_told{};
  const auto empty = encode_wire({wired, epoch{1}, 0, opened});
  EXPECT_NE(absent, empty);
  EXPECT_EQ(std::get<session_opened>(decode_wire(empty).value().body).told, reuse_told{});
  EXPECT_EQ(std::get<session_opened>(decode_wire(absent).value().body).told, std::nullopt);
}

TEST(wire, a_list_that_is_missing_is_not_an_empty_one) {
  auto bytes = encode_wire(step({}));
  constexpr std::size_t list_pointer_at = 8 + 8 * 8;
  put(bytes, list_pointer_at, std::uint64_t{0});
  EXPECT_EQ(refusal_of_bytes(bytes), errc::malformed);
}

TEST(wire, a_leaf_names_a_window_a_layer_and_some_positions_of_it) {
  EXPECT_TRUE(check(step({{{32'767, 1'023}, 32, {}}})));
  EXPECT_EQ(refusal(step({{{32'768, 0}, 32, {}}})), errc::over_limit);
  EXPECT_EQ(refusal(step({{{0, 1'024}, 32, {}}})), errc::over_limit);
  EXPECT_EQ(refusal(step({{{0, 0}, 33, {}}})), errc::over_limit);
  EXPECT_EQ(refusal(step({{{0, 0}, 0, {}}})), errc::malformed);
}

TEST(wire, the_text_of_a_failure_is_cut_and_made_printable) {
  const auto read_text = [](std::string text) {
    const wire_message sent{wired, epoch{1}, 0, stage_failed{{errc::nonfinite, std::move(text)}}};
    const auto read = decode_wire(encode_wire(sent));
    EXPECT_TRUE(read);
    const error& reason = std::get<stage_failed>(read->body).reason;
    EXPECT_EQ(reason.code, errc::nonfinite);
    return reason.message;
  };
  EXPECT_EQ(read_text("layer 3 overflowed"), "layer 3 overflowed");
  EXPECT_EQ(read_text("\x1b[2J\n"), "\\x1b[2J\\n");
  EXPECT_LE(read_text(std::string(100'000, 'x')).size(), limits::error_text_bytes_max + 3);
}

} // namespace
} // namespace ovir::actors
