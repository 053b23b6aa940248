#include "bindings/generation.hpp"

#include "messages/check.hpp"
#include "messages/limits/bindings.hpp"
#include "messages/limits/general.hpp"
#include "node/cut.hpp"

#include <algorithm>
#include <utility>

namespace ovir::bindings {

namespace {

result<void> check_count(std::string_view name, std::uint64_t value, std::uint64_t most) {
  if (value < 1 || value > most) {
    return fail(errc::invalid_argument, "{} must be between 1 and {}, not {}", name, most, value);
  }
  return {};
}

result<void> check_kept(std::string_view name, std::uint64_t rows, std::uint64_t width) {
  if (rows * width > limits::python_run_bytes_max / sizeof(float)) {
    return fail(errc::over_limit,
                "{} of {} rows of {} floats are more than the {} bytes that a run may keep; ask "
                "for fewer tokens",
                name, rows, width, limits::python_run_bytes_max);
  }
  return {};
}

result<void> check_plan(const compute::model_config& config, const generation_plan& plan) {
  const request_terms& terms = plan.terms;
  OVIR_TRY(check(terms));
  if (terms.prompt.size() >= config.context) {
    return fail(errc::over_limit,
                "the prompt has {} tokens, but the model remembers {} and needs room to answer; "
                "shorten the prompt",
                terms.prompt.size(), config.context);
  }
  for (const token_id id : terms.prompt) {
    if (id >= config.vocabulary) {
      return fail(errc::invalid_argument, "token {} of the prompt is outside the vocabulary of {}",
                  id, config.vocabulary);
    }
  }
  OVIR_TRY(check_count("max_tokens", terms.max_tokens, limits::context_max));
  OVIR_TRY(check_count("stages", plan.stages, std::min(limits::stages_max, config.layers)));
  OVIR_TRY(check_count("threads", plan.threads, limits::threads_max));
  OVIR_TRY(check_count("prefill_chunk", plan.prefill_chunk, limits::prefill_chunk_max));
  const std::uint64_t tokens =
      std::min<std::uint64_t>(terms.max_tokens, config.context - terms.prompt.size());
  if (plan.keep_logits) {
    OVIR_TRY(check_kept("logits", tokens, config.vocabulary));
  }
  if (plan.keep_boundaries) {
    OVIR_TRY(
        check_kept("boundaries", (terms.prompt.size() + tokens) * (plan.stages - 1), config.dim));
  }
  return {};
}

std::vector<layer_range> ranges_of(const compute::model& m, std::uint32_t stages) {
  std::vector<std::uint64_t> bytes;
  for (const compute::layer_weights& layer : m.layers) {
    bytes.push_back(compute::file_bytes(layer));
  }
  return supervision::cut(bytes, std::uint64_t{m.output.rows} * m.output.row_bytes(), stages);
}

} // namespace

result<std::unique_ptr<generation>> generation::make(const compute::model& m,
                                                     const compute::tokenizer& vocabulary,
                                                     const compute::kernel_set& kernels,
                                                     generation_plan plan) {
  OVIR_TRY(check_plan(m.config, plan));
  actors::generation_request request;
  request.prompt = plan.terms.prompt;
  request.sampling = plan.terms.sampling;
  request.stop = plan.terms.stop;
  request.max_tokens =
      std::min(plan.terms.max_tokens,
               m.config.context - static_cast<std::uint32_t>(plan.terms.prompt.size()));
  std::unique_ptr<generation> made{new generation{m, vocabulary, std::move(request), plan}};
  if (restricts_tokens(plan.terms.sampling)) {
    OVIR_ASSIGN(made->matcher_,
                compute::token_matcher::make(plan.terms.sampling, vocabulary.words()));
  }
  OVIR_TRY(made->open(m, kernels));
  return made;
}

generation::generation(const compute::model& m, const compute::tokenizer& vocabulary,
                       actors::generation_request request, const generation_plan& plan)
    : plan_(plan), prompt_(request.prompt.size()), layers_(m.config.layers),
      output_(request, m.config.context, vocabulary), sampler_(plan.terms.sampling),
      runner_(plan.threads) {}

result<void> generation::open(const compute::model& m, const compute::kernel_set& kernels) {
  chunk_ = supervision::prefill_chunk_for(m.config, plan_.prefill_chunk);
  for (const layer_range layers : ranges_of(m, plan_.stages)) {
    OVIR_ASSIGN(auto segment, compute::segment::make_checked(m, layers, kernels));
    OVIR_ASSIGN(auto state, segment->open(output_.positions_max(), limits::python_run_bytes_max));
    stages_.push_back({std::move(segment), std::move(state), {}});
  }
  boundaries_.resize(plan_.keep_boundaries ? stages_.size() - 1 : 0);
  return {};
}

result<void> generation::compute(std::uint32_t count, std::uint32_t rows) {
  std::span<const float> boundary;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    stage& here = stages_[i];
    compute::step_input in{.first = length_, .count = count};
    if (i == 0) {
      in.tokens = std::span<const token_id>{output_.history}.subspan(length_, count);
    }
    in.boundary = boundary;
    in.logit_rows = i + 1 == stages_.size() ? rows : 0;
    OVIR_TRY(here.segment->forward(here.state, in, runner_, here.out));
    for (const compute::unit_leaf& leaf : here.out.leaves) {
      OVIR_TRY(stated_.add_unit(leaf));
    }
    boundary = here.out.boundary;
    if (i < boundaries_.size()) {
      boundaries_[i].insert(boundaries_[i].end(), boundary.begin(), boundary.end());
    }
  }
  length_ += count;
  return {};
}

result<generation::step> generation::advance() {
  step made;
  const auto known = static_cast<std::uint32_t>(output_.history.size());
  const std::uint32_t count = std::min(chunk_, known - length_);
  const std::uint32_t rows = output_.rows_wanted(length_, count);
  OVIR_TRY(compute(count, rows));
  if (rows == 0) {
    return made;
  }
  const position at = length_ - 1;
  const std::span<const float> logits = stages_.back().out.logits;
  if (plan_.keep_logits) {
    logits_.insert(logits_.end(), logits.begin(), logits.end());
  }
  OVIR_TRY(stated_.add_logits(at, compute::logits_digest(at, logits)));
  const auto output = std::span<const token_id>{output_.history}.subspan(prompt_);
  compute::token_mask allowed;
  if (matcher_) {
    const auto found = matcher_->allowed(output);
    OVIR_CHECK(found.has_value()); // what was drawn before was allowed
    allowed = *found;
  }
  made.token = sampler_.draw(logits, output_.history, at + 1, allowed, output);
  made.text = output_.take(*made.token);
  return made;
}

result<void> generation::conclude(step& last) {
  over_ = true;
  last.text += output_.finish_text();
  for (const stage& here : stages_) {
    for (const compute::unit_leaf& leaf : here.state.units.open_leaves()) {
      OVIR_TRY(stated_.add_unit(leaf));
    }
  }
  OVIR_ASSIGN(root_, stated_.root(layers_ - 1, length_, output_.history));
  return {};
}

result<generation::step> generation::next() {
  OVIR_CHECK(!over_);
  result<step> made{step{}};
  if (cancelled_.load()) {
    output_.end(finish_reason::cancelled);
  } else {
    made = advance();
  }
  if (made && output_.ended) {
    if (const auto done = conclude(*made); !done) {
      return done.error();
    }
  }
  over_ = over_ || !made;
  return made;
}

std::span<const token_id> generation::prompt() const {
  return std::span<const token_id>{output_.history}.first(prompt_);
}

result<digest> generation::transcript() const {
  if (!root_) {
    return fail(errc::invalid_argument, "a run has a transcript once it is over and did not fail");
  }
  return *root_;
}

std::vector<layer_range> generation::cut() const {
  std::vector<layer_range> ranges;
  ranges.reserve(stages_.size());
  for (const stage& here : stages_) {
    ranges.push_back(here.segment->layers());
  }
  return ranges;
}

const compute::kv_cache* generation::cache_of(layer_index layer) const noexcept {
  for (const stage& here : stages_) {
    if (here.state.kv.holds(layer)) {
      return &here.state.kv;
    }
  }
  return nullptr;
}

} // namespace ovir::bindings
