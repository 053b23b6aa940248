#include "verify/part_audit.hpp"

#include "compute/forward/layer_engine.hpp"
#include "compute/parts/cut_codec.hpp"
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
    OVIR_TRY(group_->run(pass));
    if (behind_ != nullptr) {
      behind_->assign(pass.stream.begin(), pass.stream.end());
    }
    return {};
  }
  [[nodiscard]] bool has_head() const noexcept override { return group_->has_head(); }
  [[nodiscard]] result<void> head(std::span<const float* const> rows, std::span<float> logits,
                                  std::span<std::uint8_t> ok) override {
    return group_->head(rows, logits, ok);
  }
  /// Also at what comes out.
  void watch_output(std::vector<float>& behind) { behind_ = &behind; }

private:
  std::unique_ptr<local_group> group_;
  std::vector<float>& stream_;
  std::vector<float>* behind_{nullptr};
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
  stage_window at;
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

digest input_of(const part_run& run, std::span<const float> stream, std::size_t dim) {
  digest chain;
  std::size_t row = run.first % limits::window_positions;
  for (std::size_t n = 0; n < run.together.size(); ++n, ++row) {
    chain = chained(chain, row_digest(std::as_bytes(stream.subspan(row * dim, dim))));
  }
  return chain;
}

/// Whether it is one that the stage's signer leads, of the stage's layers.
result<void> check_group(const part_group& group, const window_case& c) {
  if (c.at.stage >= c.r.stages.size()) {
    return fail(errc::invalid_argument, "the receipt has no stage {}", c.at.stage);
  }
  const evidence_signer& lead = c.r.stages[c.at.stage].signer;
  if (group.nodes.empty() || group.nodes.front() != lead.node || group.model != c.r.asked.model ||
      group.cut.layers != lead.layers) {
    return fail(errc::invalid_argument,
                "what is shown about parts is of no group of layers {} to {} that {} leads",
                lead.layers.first, lead.layers.last - 1, short_name(lead.node));
  }
  return check_cut(c.m, group.cut);
}

result<void> check_about(const part_statement& s, const window_case& c) {
  OVIR_TRY(check_group(s.group, c));
  if (s.run.window() != c.at.window || s.run.end() > c.r.positions) {
    return fail(errc::invalid_argument,
                "what is shown about parts is of positions {} to {}, and not of window {} of {} "
                "positions",
                s.run.first, s.run.end() - 1, c.at.window, c.r.positions);
  }
  return {};
}

/// In the order in which one thing needs those before.
std::optional<part_author> first_difference(const part_statement& s, const part_run& again) {
  const auto members = static_cast<std::uint32_t>(s.group.nodes.size());
  const auto [stated, computed] = std::ranges::mismatch(s.run.leaves, again.leaves);
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

namespace {

/// The end of a window of the model's last stage.
struct window_end {
  std::vector<float> rows;   ///< [count][dim], of the last layer's output
  std::vector<float> logits; ///< [count][vocabulary]
};

result<window_end> compute_end(const window_case& c) {
  window_end made;
  const std::vector<std::uint32_t> one{1};
  const layer_range range = c.r.stages[c.at.stage].signer.layers;
  OVIR_ASSIGN(const segment_cut whole, cut_segment(c.m, range, one));
  OVIR_ASSIGN(auto group, local_group::make(c.m, whole, c.kernels, c.runner));
  std::vector<float> stream;
  auto engine = std::make_unique<watched_group>(std::move(group), stream);
  engine->watch_output(made.rows);
  OVIR_ASSIGN(const auto layers, segment::make_with(c.m, range, c.kernels, std::move(engine)));
  if (!layers->is_last()) {
    return fail(errc::invalid_argument, "the stage has no logits");
  }
  OVIR_ASSIGN(window_start start, start_window(c.r, c.at, *layers, c.inputs));
  const replay_draws draws{c.r, c.m.config, nullptr};
  step_input in;
  in.first = start.first;
  in.count = start.count;
  in.boundary = start.boundary;
  in.logit_rows = start.count;
  if (layers->is_first()) {
    in.tokens = draws.tokens().subspan(in.first, in.count);
  }
  step_output step;
  OVIR_TRY(layers->forward(start.state, in, c.runner, step));
  made.logits = std::move(step.logits);
  return made;
}

} // namespace

struct parts_examiner::impl {
  window_case c;
  std::vector<std::pair<segment_cut, window_of_group>> ways{}; ///< in which activations crossed

  std::optional<window_end> end{};

  result<void> prepare_end() {
    if (!end) {
      OVIR_ASSIGN(end, compute_end(c));
    }
    return {};
  }
  /// Rows of the window before this position.
  [[nodiscard]] result<std::size_t> row_of(position at) const {
    const position first = c.at.window * limits::window_positions;
    if (at < first || at >= first + positions_of(c.at.window, c.r.positions)) {
      return fail(errc::invalid_argument, "position {} is not of window {}", at, c.at.window);
    }
    return at - first;
  }

  /// Where there are not those of the run, they are computed.
  result<void> prepare(const part_statement& s);
  [[nodiscard]] const window_of_group& made(const segment_cut& way) const {
    return std::ranges::find(ways, way, &std::pair<segment_cut, window_of_group>::first)->second;
  }
  [[nodiscard]] part_run run_again(const part_statement& s) const;
};

result<void> parts_examiner::impl::prepare(const part_statement& s) {
  std::vector<segment_cut> needed;
  for (const std::uint16_t rows : s.run.together) {
    segment_cut way = cut_for(s.group.cut, rows);
    if (std::ranges::find(needed, way) == needed.end()) {
      needed.push_back(std::move(way));
    }
  }
  if (needed.size() > limits::part_ways_max) {
    return fail(errc::over_limit,
                "activations crossed in {} ways in one window; at most {} are "
                "looked at",
                needed.size(), limits::part_ways_max);
  }
  if (ways.size() > limits::part_ways_max) {
    ways.clear(); // those of other cuts
  }
  for (const segment_cut& way : needed) {
    if (std::ranges::find(ways, way, &std::pair<segment_cut, window_of_group>::first) ==
        ways.end()) {
      OVIR_ASSIGN(window_of_group computed, compute_as(c, way));
      ways.emplace_back(way, std::move(computed));
    }
  }
  return {};
}

// The run as its group would have made it.
part_run parts_examiner::impl::run_again(const part_statement& s) const {
  const segment_cut& cut = s.group.cut;
  const auto members = static_cast<std::uint32_t>(cut.members.size());
  const std::size_t leaves = std::size_t{cut.layers.size()} * part_lanes * members;
  const std::size_t dim = c.m.config.dim;
  part_record record{cut.layers.size(), members};
  part_run run;
  for (std::size_t n = 0; n < s.run.together.size(); ++n) {
    const position p = s.run.first + static_cast<position>(n);
    const window_of_group& here = made(cut_for(cut, s.run.together[n]));
    const auto kv_of = [&](std::uint32_t member, position first, position last) {
      const std::size_t width =
          kv_width({cut.layers, cut.members[member].kv_heads, 0, 0}, c.m.config.head_dim);
      return std::span{here.kv[member]}.subspan(first * width, (last - first) * width);
    };
    for (std::uint32_t i = 0; i < members && n == 0 && p > 0; ++i) {
      if (const auto before = kv_of(i, 0, p); !before.empty()) {
        record.add_history(i, 0, p, before);
      }
    }
    const std::uint32_t row = p - c.at.window * limits::window_positions;
    record.begin(p, 1, s.run.together[n], std::span{here.stream}.subspan(row * dim, dim));
    for (std::size_t leaf = 0; leaf < leaves; ++leaf) {
      if (const digest& one = here.rows[row * leaves + leaf]; one != digest{}) {
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

parts_examiner::parts_examiner(const receipt& r, const stage_window& at, const model& m,
                               std::span<const input_bytes> inputs, const kernel_set& kernels,
                               parallel_runner& runner)
    : impl_(new impl{{r, at, m, inputs, kernels, runner}}) {}
parts_examiner::~parts_examiner() = default;

result<examined_parts> parts_examiner::examine(const part_statement& s) {
  const window_case& c = impl_->c;
  OVIR_TRY(check_about(s, c));
  // The stream is the same in every way: so what is of other requests costs little.
  const std::size_t dim = c.m.config.dim;
  const auto& ways = impl_->ways;
  if (!ways.empty() && input_of(s.run, ways.front().second.stream, dim) != s.run.input) {
    return examined_parts{parts_finding::other_inputs};
  }
  OVIR_TRY(check_proofs(s));
  OVIR_TRY(impl_->prepare(s));
  const part_run again = impl_->run_again(s);
  if (again.input != s.run.input || again.before != s.run.before) {
    return examined_parts{parts_finding::other_inputs};
  }
  auto author = first_difference(s, again);
  return author ? examined_parts{parts_finding::wrong, std::move(author)} : examined_parts{};
}

result<digest> parts_examiner::last_row(position at) {
  OVIR_ASSIGN(const std::size_t row, impl_->row_of(at));
  OVIR_TRY(impl_->prepare_end());
  const std::size_t dim = impl_->c.m.config.dim;
  return row_digest(std::as_bytes(std::span{impl_->end->rows}.subspan(row * dim, dim)));
}

result<examined_parts> parts_examiner::examine(const head_statement& s, position at) {
  const window_case& c = impl_->c;
  OVIR_TRY(check_group(s.group, c));
  OVIR_TRY(check_proofs(s));
  OVIR_ASSIGN(const digest row, last_row(at));
  if (row != s.row) {
    return examined_parts{parts_finding::other_inputs};
  }
  OVIR_ASSIGN(const std::size_t t, impl_->row_of(at));
  const std::span<const float> logits{impl_->end->logits};
  for (std::uint32_t i = 0; i < s.group.cut.members.size(); ++i) {
    const part_range& words = s.group.cut.members[i].words;
    const auto part = logits.subspan(t * c.m.config.vocabulary + words.first, words.size());
    if (row_digest(std::as_bytes(part)) != s.logits[i]) {
      const layer_index last = s.group.cut.layers.last - 1;
      return examined_parts{parts_finding::wrong,
                            part_author{s.group.nodes[i], i, last, part_lane::logits,
                                        part_name(s.group.model, s.group.cut, last, i)}};
    }
  }
  return examined_parts{};
}

unit_author author_of_wrong_unit(std::span<const std::vector<std::byte>> shown, const receipt& r,
                                 const stage_window& at, const model& m,
                                 std::span<const input_bytes> inputs, const kernel_set& kernels,
                                 parallel_runner& runner) {
  const evidence_signer& lead = r.stages[at.stage].signer;
  unit_author author{lead.node, std::nullopt, "it shows nothing that others computed of it"};
  parts_examiner examiner{r, at, m, inputs, kernels, runner};
  bool right = false; // under one of the statements
  const std::size_t most = std::min(shown.size(), limits::part_statements_shown_max);
  for (const std::vector<std::byte>& bytes : shown.first(most)) {
    const auto s = decode_statement(bytes);
    const auto found = s ? examiner.examine(*s) : result<examined_parts>{s.error()};
    if (found && found->what == parts_finding::wrong) {
      author.node = found->author->node;
      author.part = found->author;
      author.why = fmt::format(
          "member {} of its group, {}, sent other {} of layer {} than its part {} "
          "makes of them",
          found->author->member, short_name(found->author->node), words_for(found->author->lane),
          found->author->layer, to_hex(found->author->part).substr(0, 8));
      return author;
    }
    if (found && found->what == parts_finding::right) {
      right = true;
      author.why = "its group computed what is computed again, and it states something else";
    } else if (!right) {
      author.why = found ? "what it shows is of other inputs" : found.error().message;
    }
  }
  return author;
}

} // namespace ovir::compute
