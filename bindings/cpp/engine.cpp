#include "include/ovir/engine.hpp"

#include "apps/ovir/run/chat_prompt.hpp"
#include "bindings/cpp/engine_parts.hpp"
#include "bindings/cpp/thrown.hpp"
#include "bindings/generation.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <cstdlib>
#include <thread>

namespace ovir::v0 {

namespace {

std::shared_ptr<bindings::held_model> opened(const std::optional<std::string>& path,
                                             const model_options& options) {
  std::string isa = options.isa;
  if (const char* const named = std::getenv("OVIR_ISA"); isa.empty() && named != nullptr) {
    isa = named;
  }
  const std::uint32_t threads = options.threads != 0
                                    ? options.threads
                                    : std::clamp<std::uint32_t>(std::thread::hardware_concurrency(),
                                                                1, ovir::limits::threads_max);
  return unwrap(bindings::held_model::open(path, threads, isa));
}

} // namespace

sampling_params params_from(const sampling_options& options) {
  sampling_params params;
  params.temperature = options.temperature;
  params.top_k = options.top_k;
  params.top_p = options.top_p;
  params.min_p = options.min_p;
  params.repeat_penalty = options.repeat_penalty;
  params.presence_penalty = options.presence_penalty;
  params.frequency_penalty = options.frequency_penalty;
  params.min_tokens = options.min_tokens;
  params.seed = options.seed;
  return params;
}

struct token_stream::impl {
  std::shared_ptr<bindings::held_model> model; // before the run, which reads it
  std::unique_ptr<bindings::generation> run;
};

token_stream::token_stream(std::unique_ptr<impl> parts) : impl_(std::move(parts)) {}
token_stream::~token_stream() = default;
token_stream::token_stream(token_stream&&) noexcept = default;
token_stream& token_stream::operator=(token_stream&& other) noexcept {
  std::swap(impl_, other.impl_); // a run goes before the model that it reads
  other.impl_.reset();
  return *this;
}

std::optional<token> token_stream::next() {
  bindings::generation& run = *impl_->run;
  while (!run.is_over()) {
    bindings::generation::step made = unwrap(run.next());
    if (made.token || !made.text.empty()) {
      return token{made.token, std::move(made.text)};
    }
  }
  return std::nullopt;
}

void token_stream::cancel() noexcept { impl_->run->cancel(); }

run token_stream::finish() {
  while (next()) {
  }
  const bindings::generation& over = *impl_->run;
  run made;
  made.transcript = to_hex(unwrap(over.transcript()));
  made.text = over.text();
  made.prompt.assign(over.prompt().begin(), over.prompt().end());
  made.tokens = over.tokens();
  made.finish_reason = to_string(over.reason());
  made.positions = over.positions();
  return made;
}

model::model(const model_options& options)
    : impl_(std::make_shared<impl>(impl{opened(std::nullopt, options)})) {}
model::model(const std::filesystem::path& file, const model_options& options)
    : impl_(std::make_shared<impl>(impl{opened(file.string(), options)})) {}
model::~model() = default;
model::model(const model&) = default;
model& model::operator=(const model&) = default;

model_info model::info() const {
  bindings::held_model& held = *impl_->held;
  const compute::model_config& config = held.model().weights.config;
  model_info info;
  info.path = held.model().source.path;
  info.architecture = config.architecture;
  info.name = config.name;
  info.isa = held.kernels().name;
  info.layers = config.layers;
  info.vocabulary = config.vocabulary;
  info.context = config.context;
  info.threads = held.threads();
  return info;
}

std::vector<token_id> model::encode(std::string_view text, bool add_bos, bool parse_special) const {
  return unwrap(impl_->held->model().vocabulary->encode(text, {add_bos, parse_special}));
}

std::string model::decode(std::span<const token_id> tokens, bool special) const {
  const std::uint32_t vocabulary = impl_->held->model().weights.config.vocabulary;
  for (const token_id id : tokens) {
    if (id >= vocabulary) {
      throw_error(
          fail(errc::invalid_argument, "token {} is outside the vocabulary of {}", id, vocabulary));
    }
  }
  return impl_->held->model().vocabulary->decode({tokens.begin(), tokens.end()}, special);
}

std::vector<token_id> model::chat_prompt(std::span<const message> messages) const {
  apps::conversation said = unwrap(apps::conversation::begin(impl_->held->model(), {}));
  for (const message& one : messages) {
    said.add(one.role, one.content);
  }
  return unwrap(said.prompt());
}

run model::generate(std::string_view prompt, const generate_options& options,
                    const token_callback& on_token) const {
  if (prompt.empty()) {
    throw_error(fail(errc::invalid_argument, "the prompt is empty; give at least one character"));
  }
  const std::vector<token_id> ids = encode(prompt);
  return generate(std::span<const token_id>{ids}, options, on_token);
}

run model::generate(std::span<const token_id> prompt, const generate_options& options,
                    const token_callback& on_token) const {
  token_stream under_way = start(prompt, options);
  while (on_token) {
    const std::optional<token> made = under_way.next();
    if (!made) {
      break;
    }
    if (!on_token(*made)) {
      under_way.cancel();
      break;
    }
  }
  return under_way.finish();
}

token_stream model::start(std::span<const token_id> prompt, const generate_options& options) const {
  bindings::held_model& held = *impl_->held;
  bindings::generation_plan plan;
  plan.terms.prompt.assign(prompt.begin(), prompt.end());
  plan.terms.max_tokens = options.max_tokens;
  plan.terms.sampling = params_from(options.sampling);
  plan.terms.stop = options.stop;
  plan.stages = options.stages;
  plan.prefill_chunk = options.prefill_chunk;
  plan.threads = held.threads();
  unwrap(held.prepare());
  auto parts = std::make_unique<token_stream::impl>();
  parts->model = impl_->held;
  parts->run = unwrap(bindings::generation::make(held.model().weights, *held.model().vocabulary,
                                                 held.kernels(), std::move(plan)));
  return token_stream{std::move(parts)};
}

} // namespace ovir::v0
