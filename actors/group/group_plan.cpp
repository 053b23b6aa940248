#include "actors/group/group_plan.hpp"

#include "compute/parts/cut_cost.hpp"
#include "messages/limits/parts.hpp"
#include "messages/wire/group_frame.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace ovir::actors {

namespace {

using compute::cut_wish;
using compute::output_cut;
using compute::segment_cut;

constexpr double milli = 1e3;
/// Of a pass beside its exchanges: the leader tells of it, and has K and V of its rows back.
constexpr std::uint32_t pass_messages = 2;
/// Where logits are wanted: the leader says of which rows, and has them back.
constexpr std::uint32_t head_messages = 2;

bool is_speed(double value) { return std::isfinite(value) && value > 0; }
bool is_time(double value) { return std::isfinite(value) && value >= 0; }

result<void> check_question(const group_question& q) {
  if (q.nodes.empty() || q.nodes.size() > limits::group_candidates_max) {
    return fail(errc::invalid_argument, "a group is chosen among 1 to {} nodes, not {}",
                limits::group_candidates_max, q.nodes.size());
  }
  for (const group_candidate& node : q.nodes) {
    if (!is_speed(node.decode_bytes_per_second) || !is_speed(node.prefill_bytes_per_second) ||
        !is_speed(node.bandwidth_bytes_per_second) || !is_time(node.delay_seconds)) {
      return fail(errc::invalid_argument,
                  "node {}: speeds and bandwidth must be positive, delays at least 0", node.name);
    }
  }
  for (const group_link& l : q.links) {
    if (l.a >= q.nodes.size() || l.b >= q.nodes.size() || l.a == l.b ||
        !is_speed(l.bandwidth_bytes_per_second) || !is_time(l.delay_seconds)) {
      return fail(errc::invalid_argument,
                  "a link joins two different nodes, with a bandwidth above "
                  "0 and a delay of at least 0");
    }
  }
  if (!is_time(q.message_seconds) || q.prefill_rows == 0 || q.context == 0 || q.requests == 0 ||
      q.prefill_rows > limits::prefill_chunk_max || q.context > limits::context_max ||
      q.requests > limits::requests_active_max) {
    return fail(errc::invalid_argument,
                "a group is for a context of 1 to {} positions, 1 to {} requests, and chunks of 1 "
                "to {} rows",
                limits::context_max, limits::requests_active_max, limits::prefill_chunk_max);
  }
  if (q.layers.first >= q.layers.last || q.layers.last > q.model->config.layers) {
    return fail(errc::invalid_argument, "layers [{}, {}) do not exist in a model of {} layers",
                q.layers.first, q.layers.last, q.model->config.layers);
  }
  if (q.leader && *q.leader >= q.nodes.size()) {
    return fail(errc::invalid_argument, "node {} of {} cannot lead", *q.leader, q.nodes.size());
  }
  return {};
}

/// The way between two nodes.
group_link link_between(const group_question& q, std::uint32_t a, std::uint32_t b) {
  for (const group_link& l : q.links) {
    if ((l.a == a && l.b == b) || (l.a == b && l.b == a)) {
      return l;
    }
  }
  return {a, b, q.nodes[a].delay_seconds + q.nodes[b].delay_seconds,
          std::min(q.nodes[a].bandwidth_bytes_per_second, q.nodes[b].bandwidth_bytes_per_second)};
}

/// The longest and narrowest of the ways between members: all of them are taken in each exchange.
group_link worst_link(const group_question& q, std::span<const std::uint32_t> members) {
  group_link worst{0, 0, 0, std::numeric_limits<double>::infinity()};
  for (std::size_t i = 0; i < members.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const group_link l = link_between(q, members[i], members[j]);
      worst.delay_seconds = std::max(worst.delay_seconds, l.delay_seconds);
      worst.bandwidth_bytes_per_second =
          std::min(worst.bandwidth_bytes_per_second, l.bandwidth_bytes_per_second);
    }
  }
  return worst;
}

/// By speed, of which the fastest has limits::group_share_max.
std::vector<std::uint32_t> shares_of(const group_question& q,
                                     std::span<const std::uint32_t> members) {
  double most = 0;
  for (const std::uint32_t i : members) {
    most = std::max(most, q.nodes[i].decode_bytes_per_second);
  }
  std::vector<std::uint32_t> shares;
  for (const std::uint32_t i : members) {
    const double share = q.nodes[i].decode_bytes_per_second / most * limits::group_share_max;
    shares.push_back(std::max(1U, static_cast<std::uint32_t>(share)));
  }
  return shares;
}

/// Rows up to which activations as floats are no slower than integers and an exchange more: of a
/// row, integers save three quarters of what floats are.
std::uint32_t float_rows(const group_question& q, std::span<const std::uint32_t> members) {
  const compute::model_config& c = q.model->config;
  const group_link link = worst_link(q, members);
  const auto n = static_cast<double>(members.size());
  const double columns = (static_cast<double>(c.q_dim()) + c.ffn_dim) / 2 * (n - 1) / n;
  const double saved = 2.95 * columns / link.bandwidth_bytes_per_second;
  const double exchange = link.delay_seconds + (n - 1) * q.message_seconds;
  return static_cast<std::uint32_t>(
      std::clamp<double>(exchange / saved, 0, limits::prefill_chunk_max));
}

std::uint64_t kv_bytes(const group_question& q, std::uint32_t heads) {
  return std::uint64_t{2} * sizeof(std::uint16_t) * heads * q.model->config.head_dim *
         q.layers.size() * q.context * q.requests;
}

// The leader has the embedding of a first segment, and K and V of all heads beside its own.
bool fits(const group_question& q, const segment_cut& cut, std::span<const std::uint32_t> members) {
  const compute::cut_cost cost = compute::cost_of(*q.model, cut, limits::prefill_chunk_max);
  for (std::size_t i = 0; i < members.size(); ++i) {
    std::uint64_t bytes =
        cost.weights[i] + cost.head[i] + kv_bytes(q, cut.members[i].kv_heads.size());
    if (i == 0) {
      bytes += q.layers.first == 0 ? compute::file_bytes(q.model->token_embedding) : 0;
      bytes += members.size() > 1 ? kv_bytes(q, q.model->config.kv_heads) : 0;
    }
    if (bytes > q.nodes[members[i]].memory) {
      return false;
    }
  }
  return true;
}

struct tried_group {
  segment_cut cut;
  group_time token;
};

/// The best way to cross for these members, where they have the memory.
std::optional<tried_group> try_group(const group_question& q,
                                     std::span<const std::uint32_t> members) {
  const std::vector<std::uint32_t> shares = shares_of(q, members);
  const std::uint32_t floats = members.size() > 1 ? float_rows(q, members) : 0;
  std::optional<tried_group> best;
  for (const output_cut attention : {output_cut::rows, output_cut::columns}) {
    for (const output_cut feed_forward : {output_cut::rows, output_cut::columns}) {
      auto cut =
          compute::cut_segment(*q.model, q.layers, shares, {attention, feed_forward, floats});
      if (!cut || !fits(q, *cut, members)) {
        continue;
      }
      const group_time time = time_of(q, *cut, members, 1);
      if (!best || time.total() < best->token.total()) {
        best = tried_group{std::move(*cut), time};
      }
    }
  }
  return best;
}

/// Orders in which others join a group around `leader`: the nearest first, and the fastest.
std::vector<std::vector<std::uint32_t>> orders_around(const group_question& q,
                                                      std::uint32_t leader) {
  std::vector<std::uint32_t> others;
  for (std::uint32_t i = 0; i < q.nodes.size(); ++i) {
    if (i != leader) {
      others.push_back(i);
    }
  }
  const auto faster = [&](std::uint32_t a, std::uint32_t b) {
    return q.nodes[a].decode_bytes_per_second > q.nodes[b].decode_bytes_per_second;
  };
  std::stable_sort(others.begin(), others.end(), faster);
  std::vector<std::vector<std::uint32_t>> orders{others};
  std::stable_sort(others.begin(), others.end(), [&](std::uint32_t a, std::uint32_t b) {
    return link_between(q, leader, a).delay_seconds < link_between(q, leader, b).delay_seconds;
  });
  orders.push_back(std::move(others));
  return orders;
}

void choose_best_group(const group_question& q, std::span<const std::uint32_t> by_speed,
                       group_choice& choice) {
  const std::size_t most = std::min(q.nodes.size(), limits::group_members_max);
  const std::span<const std::uint32_t> leaders =
      q.leader ? std::span{&*q.leader, 1}
               : by_speed.first(std::min(by_speed.size(), limits::group_leaders_tried));
  for (const std::uint32_t leader : leaders) {
    for (const auto& order : orders_around(q, leader)) {
      std::vector<std::uint32_t> members{leader};
      while (members.size() < most) {
        members.push_back(order[members.size() - 1]);
        auto tried = try_group(q, members);
        if (tried && (choice.members.empty() || tried->token.total() < choice.token.total())) {
          choice.members = members;
          choice.cut = std::move(tried->cut);
          choice.token = tried->token;
        }
      }
    }
  }
  if (!choice.members.empty()) {
    choice.prefill = time_of(q, choice.cut, choice.members, q.prefill_rows);
  }
}

std::string names_of(const group_question& q, const std::vector<std::uint32_t>& members) {
  std::string names;
  for (const std::uint32_t i : members) {
    names += (names.empty() ? "" : i == members.back() ? " and " : ", ") + q.nodes[i].name;
  }
  return names;
}

std::string why_of(const group_question& q, const group_choice& c) {
  std::string others = "nothing else holds the segment";
  if (c.node || q.stages_seconds) {
    const bool stages = q.stages_seconds && (!c.node || *q.stages_seconds < c.alone_seconds);
    others =
        fmt::format("{} would take {:.2f} ms", stages ? "stages" : q.nodes[*c.node].name + " alone",
                    (stages ? *q.stages_seconds : c.alone_seconds) * milli);
  }
  if (c.members.empty()) {
    return c.what == group_verdict::none ? "no node and no group has the memory"
                                         : "no group has the memory; " + others;
  }
  const std::string group = fmt::format(
      "{} would take {:.2f} ms for a token: {:.2f} ms of computing, {:.2f} ms of delays in {} "
      "exchanges and {:.2f} ms of bytes",
      names_of(q, c.members), c.token.total() * milli, c.token.compute * milli,
      c.token.delay * milli, compute::cost_of(*q.model, c.cut, 1).exchanges,
      c.token.transfer * milli);
  return fmt::format("{}; {}",
                     (c.what == group_verdict::group ? "" : "a group would be slower: ") + group,
                     others);
}

} // namespace

group_time time_of(const group_question& q, const segment_cut& cut,
                   std::span<const std::uint32_t> members, std::uint32_t rows) {
  const compute::cut_cost cost = compute::cost_of(*q.model, cut, rows);
  const bool logits = rows == 1 && cut.layers.last == q.model->config.layers;
  const std::size_t n = members.size();
  group_time time;
  for (std::size_t i = 0; i < n; ++i) {
    const group_candidate& node = q.nodes[members[i]];
    const auto bytes = static_cast<double>(cost.weights[i] + (logits ? cost.head[i] : 0));
    time.compute = std::max(time.compute, rows == 1 ? bytes / node.decode_bytes_per_second
                                                    : bytes * rows / node.prefill_bytes_per_second);
  }
  if (n == 1) {
    return time;
  }
  const group_link link = worst_link(q, members);
  const std::uint64_t all = std::accumulate(cost.sent.begin(), cost.sent.end(), std::uint64_t{0});
  const std::uint64_t heads = group_overhead_bytes * cost.exchanges * (n - 1);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t most = std::max(cost.sent[i] * (n - 1), all - cost.sent[i]) + heads;
    time.transfer =
        std::max(time.transfer, static_cast<double>(most) / link.bandwidth_bytes_per_second);
  }
  if (logits) {
    const auto words =
        static_cast<double>(q.model->config.vocabulary - cut.members[0].words.size());
    time.transfer += words * sizeof(float) / link.bandwidth_bytes_per_second;
  }
  const double messages = cost.exchanges + pass_messages + (logits ? head_messages : 0);
  time.delay = messages * (link.delay_seconds + static_cast<double>(n - 1) * q.message_seconds);
  return time;
}

std::optional<segment_cut> best_cut(const group_question& q,
                                    std::span<const std::uint32_t> members) {
  auto tried = try_group(q, members);
  return tried ? std::optional{std::move(tried->cut)} : std::nullopt;
}

result<group_choice> choose_group(const group_question& q) {
  OVIR_TRY(check_question(q));
  std::vector<std::uint32_t> by_speed(q.nodes.size());
  std::iota(by_speed.begin(), by_speed.end(), 0U);
  std::stable_sort(by_speed.begin(), by_speed.end(), [&](std::uint32_t a, std::uint32_t b) {
    return q.nodes[a].decode_bytes_per_second > q.nodes[b].decode_bytes_per_second;
  });
  group_choice choice;
  if (const auto can = compute::check_for_parts(*q.model, q.layers); !can) {
    choice.what = q.stages_seconds ? group_verdict::stages : group_verdict::one_node;
    choice.why = "no group: " + can.error().message;
    return choice;
  }
  for (const std::uint32_t i : by_speed) {
    if (const auto alone = try_group(q, std::span{&i, 1}); alone && !choice.node) {
      choice.node = i;
      choice.alone_seconds = alone->token.total();
    }
  }
  choose_best_group(q, by_speed, choice);
  double least = std::numeric_limits<double>::infinity();
  const auto consider = [&](group_verdict what, double seconds) {
    if (seconds < least) {
      least = seconds;
      choice.what = what;
    }
  };
  if (choice.node) {
    consider(group_verdict::one_node, choice.alone_seconds);
  }
  if (q.stages_seconds) {
    consider(group_verdict::stages, *q.stages_seconds);
  }
  if (!choice.members.empty()) {
    consider(group_verdict::group, choice.token.total());
  }
  choice.why = why_of(q, choice);
  return choice;
}

} // namespace ovir::actors
