#include "verify/part_audit.hpp"

#include "compute/forward/layer_engine.hpp"
#include "compute/parts/kv_rows.hpp"
#include "compute/parts/local_group.hpp"
#include "compute/parts/part_record.hpp"
#include "messages/limits/parts.hpp"
#include "verify/replay_draws.hpp"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace ovir::compute {

namespace {

/// A window as a group makes it.
struct window_of_group {
  std::vector<float> stream; ///< [count][dim], before the segment
  /// [count][layers][part_lanes][members], of each row by itself; all zero: nothing crossed.
  std::vector<digest> rows;
  std::vector<std::vector<std::uint16_t>> kv; ///< [members], of their heads, from position 0 on
};

/// Looks at the stream before it is computed with.
class watched_group final : public layer_engine {
public:
  watched_group(std::unique_ptr<local_group> group, std::vector<float>& stream)
      : group_(std::move(group)), stream_(stream) {}
  [[nodiscard]] result<void> run(engine_pass& pass) override {
    stream_.assign(pass.stream.begin(), pass.stream.end());
    return group_->run(pass);
  }
  [[nodiscard]] bool has_head() const noexcept override { return false; }
  [[nodiscard]] result<void> head(std::span<const float* const>, std::span<float>,
                                  std::span<std::uint8_t>) override {
    return fail(errc::internal, "no logits are wanted of an examined window");
  }

private:
  std::unique_ptr<local_group> group_;
  std::vector<float>& stream_;
};

/// How activations cross in a pass of so many rows, whatever the rows of the pass that is computed.
segment_cut cut_for(segment_cut cut, std::uint32_t rows) {
  for (layer_cut& layer : cut.blocks) {
    for (block_cut* const block : {&layer.attention, &layer.feed_forward}) {
      block->floats_up_to = rows <= block->floats_up_to ? always : 0;
    }
  }
  return cut;
}

/// A window and all that it is computed with.
struct window_case {
  const receipt& r;
  const stage_window& at;
  const model& m;
  std::span<const input_bytes> inputs;
  const kernel_set& kernels;
  parallel_runner& runner;
};

result<window_of_group> compute_as(const window_case& c, const segment_cut& cut) {
  window_of_group made;
  const auto members = static_cast<std::uint32_t>(cut.members.size());
  const std::size_t leaves = std::size_t{cut.layers.size()} * part_lanes * members;
  const std::uint32_t count = positions_of(c.at.window, c.r.positions);
  made.rows.resize(count * leaves);
  OVIR_ASSIGN(auto group, local_group::make(c.m, cut, c.kernels, c.runner));
  group->witness_crossings([&](const crossing_place& place, activation_form form,
                               std::span<const std::span<const std::byte>> all) {
    digest_rows(c.m.config, cut, place, form, count, all,
                [&](std::uint32_t row, std::uint32_t member, const digest& one) {
                  made.rows[row * leaves + leaf_at(place.layer - cut.layers.first, lane_of(place),
                                                   member, members)] = one;
                });
  });
  OVIR_ASSIGN(const auto layers,
              segment::make_with(c.m, cut.layers, c.kernels,
                                 std::make_unique<watched_group>(std::move(group), made.stream)));
  OVIR_ASSIGN(window_start start, start_window(c.r, c.at, *layers, c.inputs));
  const replay_draws draws{c.r, c.m.config, nullptr};
  step_input in;
  in.first = start.first;
  in.count = start.count;
  in.boundary = start.boundary;
  if (layers->is_first()) {
    in.tokens = draws.tokens().subspan(in.first, in.count);
  }
  step_output step;
  OVIR_TRY(layers->forward(start.state, in, c.runner, step));
  for (const member_part& part : cut.members) {
    read_kv_rows(start.state.kv, {cut.layers, part.kv_heads, 0, start.first + start.count},
                 made.kv.emplace_back());
  }
  return made;
}

/// The run as its group would have made it.
result<part_run> run_again(const window_case& c, const part_statement& s) {
  const segment_cut& cut = s.group.cut;
  const auto members = static_cast<std::uint32_t>(cut.members.size());
  const std::size_t leaves = std::size_t{cut.layers.size()} * part_lanes * members;
  const std::size_t dim = c.m.config.dim;
  std::vector<std::pair<segment_cut, window_of_group>> ways;
  part_record record{cut.layers.size(), members};
  part_run run;
  for (std::size_t n = 0; n < s.run.together.size(); ++n) {
    const position p = s.run.first + static_cast<position>(n);
    const segment_cut way = cut_for(cut, s.run.together[n]);
    auto found = std::ranges::find(ways, way, &std::pair<segment_cut, window_of_group>::first);
    if (found == ways.end()) {
      if (ways.size() >= limits::part_ways_max) {
        return fail(errc::over_limit, "activations crossed in more than {} ways in one window",
                    limits::part_ways_max);
      }
      OVIR_ASSIGN(window_of_group made, compute_as(c, way));
      found = ways.emplace(ways.end(), way, std::move(made));
    }
    const window_of_group& made = found->second;
    const auto kv_of = [&](std::uint32_t member, position first, position last) {
      const std::size_t width =
          kv_width({cut.layers, cut.members[member].kv_heads, 0, 0}, c.m.config.head_dim);
      return std::span{made.kv[member]}.subspan(first * width, (last - first) * width);
    };
    for (std::uint32_t i = 0; i < members && n == 0 && p > 0; ++i) {
      if (const auto before = kv_of(i, 0, p); !before.empty()) {
        record.add_history(i, 0, p, before);
      }
    }
    const std::uint32_t row = p - c.at.window * limits::window_positions;
    record.begin(p, 1, s.run.together[n], std::span{made.stream}.subspan(row * dim, dim));
    for (std::size_t leaf = 0; leaf < leaves; ++leaf) {
      if (const digest& one = made.rows[row * leaves + leaf]; one != digest{}) {
        const std::size_t lane = leaf / members;
        record.add(0, static_cast<std::uint32_t>(lane / part_lanes),
                   static_cast<part_lane>(lane % part_lanes),
                   static_cast<std::uint32_t>(leaf % members), one);
      }
    }
    for (std::uint32_t i = 0; i < members; ++i) {
      if (const auto rows = kv_of(i, p, p + 1); !rows.empty()) {
        record.add_kv(i, rows);
      }
    }
    run = std::move(record.end().front().front());
  }
  return run;
}

result<void> check_about(const part_statement& s, const receipt& r, const stage_window& at,
                         const model& m) {
  const evidence_signer& lead = r.stages[at.stage].signer;
  if (s.group.nodes.empty() || s.group.nodes.front() != lead.node ||
      s.group.model != r.asked.model || s.group.cut.layers != lead.layers) {
    return fail(errc::invalid_argument,
                "what is shown about parts is of no group of layers {} to {} that {} leads",
                lead.layers.first, lead.layers.last - 1, short_name(lead.node));
  }
  if (s.run.window() != at.window || s.run.end() > r.positions) {
    return fail(errc::invalid_argument,
                "what is shown about parts is of positions {} to {}, and not of window {} of {} "
                "positions",
                s.run.first, s.run.end() - 1, at.window, r.positions);
  }
  OVIR_TRY(check_cut(m, s.group.cut));
  return check_proofs(s);
}

/// In the order in which one thing needs those before.
std::optional<part_author> first_difference(const part_statement& s, const part_run& again) {
  const auto members = static_cast<std::uint32_t>(s.group.nodes.size());
  const auto [stated, computed] =
      std::ranges::mismatch(s.run.leaves, again.leaves);
  if (stated == s.run.leaves.end()) {
    return std::nullopt;
  }
  const auto leaf = static_cast<std::size_t>(stated - s.run.leaves.begin());
  const auto member = static_cast<std::uint32_t>(leaf % members);
  const auto layer = static_cast<std::uint32_t>(leaf / members / part_lanes);
  return part_author{s.group.nodes[member], member, s.group.cut.layers.first + layer,
                     static_cast<part_lane>(leaf / members % part_lanes),
                     part_terms{s.group}.name(layer, member)};
}

} // namespace

result<examined_parts> examine_parts(const part_statement& s, const receipt& r,
                                     const stage_window& at, const model& m,
                                     std::span<const input_bytes> inputs, const kernel_set& kernels,
                                     parallel_runner& runner) {
  if (at.stage >= r.stages.size()) {
    return fail(errc::invalid_argument, "the receipt has no stage {}", at.stage);
  }
  OVIR_TRY(check_about(s, r, at, m));
  OVIR_ASSIGN(const part_run again, run_again({r, at, m, inputs, kernels, runner}, s));
  if (again.input != s.run.input || again.before != s.run.before) {
    return examined_parts{parts_finding::other_inputs};
  }
  auto author = first_difference(s, again);
  return author ? examined_parts{parts_finding::wrong, std::move(author)} : examined_parts{};
}

unit_author author_of_wrong_unit(std::span<const std::vector<std::byte>> shown, const receipt& r,
                                 const stage_window& at, const model& m,
                                 std::span<const input_bytes> inputs, const kernel_set& kernels,
                                 parallel_runner& runner) {
  const evidence_signer& lead = r.stages[at.stage].signer;
  unit_author author{lead.node, std::nullopt, "it shows nothing that others computed of it"};
  const std::size_t most = std::min(shown.size(), limits::part_statements_shown_max);
  for (const std::vector<std::byte>& bytes : shown.first(most)) {
    const auto s = decode_statement(bytes);
    const auto found = s ? examine_parts(*s, r, at, m, inputs, kernels, runner)
                         : result<examined_parts>{s.error()};
    if (!found) {
      author.why = found.error().message;
    } else if (found->what == parts_finding::wrong) {
      author.node = found->author->node;
      author.part = found->author;
      author.why = fmt::format("member {} of its group, {}, sent other {} of layer {} than its part {} "
                               "makes of them",
                               found->author->member, short_name(found->author->node),
                               words_for(found->author->lane), found->author->layer,
                               to_hex(found->author->part).substr(0, 8));
      return author;
    } else {
      author.why = found->what == parts_finding::right
                       ? "its group computed what is computed again, and it states something else"
                       : "what it shows is of other inputs";
    }
  }
  return author;
}

} // namespace ovir::compute
