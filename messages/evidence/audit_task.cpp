#include "messages/evidence/audit_task.hpp"

#include "messages/evidence/audit_task_codec.hpp"
#include "messages/evidence/evidence_codec.hpp"
#include "messages/limits/audit.hpp"
#include "messages/limits/constraint.hpp"
#include "messages/request/params_words.hpp"

#include <algorithm>
#include <cmath>

namespace ovir {

namespace {

constexpr std::string_view answer_domain = "ovir/audit/v1/answer";

digest signed_outcome(const digest& task, const digest& outcome) {
  return hasher{"ovir/audit/v1/answer-fields"}.update(task).update(outcome).finish();
}

result<void> check_sampling(const sampling_params& s) {
  if (!std::isfinite(s.temperature) || !std::isfinite(s.top_p) || !std::isfinite(s.min_p) ||
      !std::isfinite(s.repeat_penalty)) {
    return fail(errc::malformed, "a task with a sampling parameter that is not finite");
  }
  if (s.constraint.size() > limits::constraint_bytes_max) {
    return fail(errc::over_limit, "a task with a constraint of {} bytes", s.constraint.size());
  }
  return has_further(s) ? check(s) : result<void>{};
}

} // namespace

result<void> check(const audit_task& task) {
  const layer_range layers = task.layers;
  if (task.model_layers > limits::layers_max || layers.first >= layers.last ||
      layers.last > task.model_layers) {
    return fail(errc::malformed, "a task of layers {} to {} of {}", layers.first, layers.last,
                task.model_layers);
  }
  const std::size_t tokens = task.tokens.size();
  if (task.positions == 0 || task.positions > limits::context_max ||
      (tokens != task.positions && tokens != task.positions + 1) || task.prompt == 0 ||
      task.prompt > tokens) {
    return fail(errc::malformed, "a task of {} positions, {} tokens and {} of them given",
                task.positions, tokens, task.prompt);
  }
  if (std::any_of(task.tokens.begin(), task.tokens.end(),
                  [](token_id id) { return id >= limits::vocabulary_max; })) {
    return fail(errc::malformed, "a task with a token that no vocabulary has");
  }
  if (task.kv.size() != std::size_t{task.window()} * layers.size() ||
      (layers.first == 0 && task.input != digest{})) {
    return fail(errc::malformed, "a task with {} digests of K and V for window {}", task.kv.size(),
                task.window());
  }
  return check_sampling(task.sampling);
}

digest task_digest(const audit_task& task) {
  hasher h{"ovir/audit/v1/task"};
  h.update(task.model)
      .update_u32(task.model_layers)
      .update_u32(task.layers.first)
      .update_u32(task.layers.last)
      .update_u32(task.positions)
      .update_u32(task.prompt)
      .update_u32(static_cast<std::uint32_t>(task.tokens.size()))
      .update(std::as_bytes(std::span{task.tokens}));
  add_numbers(h, task.sampling)
      .update_text(task.sampling.constraint)
      .update(task.input)
      .update(std::as_bytes(std::span{task.kv}));
  return add_further(h, task.sampling).finish();
}

signature sign_outcome(const secret_key& key, const digest& task, const digest& outcome) {
  const digest said = signed_outcome(task, outcome);
  return key.sign(answer_domain, std::as_bytes(std::span{said.bytes}));
}

bool verify_outcome(const node_id& by, const digest& task, const digest& outcome,
                    const signature& s) {
  const digest said = signed_outcome(task, outcome);
  return verify(by, answer_domain, std::as_bytes(std::span{said.bytes}), s);
}

namespace evidence_codec {

std::size_t task_bytes(const audit_task& task) {
  return 256 + task.tokens.size() * sizeof(token_id) + task.kv.size() * sizeof(digest) +
         task.sampling.constraint.size() +
         words_of_further(task.sampling).size() * sizeof(std::uint64_t);
}

void write_task(audit_schema::Task::Builder out, const audit_task& task) {
  out.setModel(data_of(task.model));
  out.setModelLayers(task.model_layers);
  out.setFirst(task.layers.first);
  out.setLast(task.layers.last);
  out.setPositions(task.positions);
  out.setPrompt(task.prompt);
  out.setTemperature(task.sampling.temperature);
  out.setTopK(task.sampling.top_k);
  out.setTopP(task.sampling.top_p);
  out.setMinP(task.sampling.min_p);
  out.setRepeatPenalty(task.sampling.repeat_penalty);
  out.setSeed(task.sampling.seed);
  out.setConstraint(data_of(std::string_view{task.sampling.constraint}));
  out.setInput(data_of(task.input));
  out.setKv(data_of(std::span<const digest>{task.kv}));
  const std::vector<std::uint64_t> further = words_of_further(task.sampling);
  if (!further.empty()) {
    auto list = out.initFurther(static_cast<kj::uint>(further.size()));
    for (std::size_t i = 0; i < further.size(); ++i) {
      list.set(static_cast<kj::uint>(i), further[i]);
    }
  }
}

result<audit_task> read_task(audit_schema::Task::Reader from, capnp::Data::Reader tokens) {
  audit_task task;
  OVIR_ASSIGN(task.model, fixed<digest>(from.getModel(), "a model"));
  task.model_layers = from.getModelLayers();
  task.layers = {from.getFirst(), from.getLast()};
  task.positions = from.getPositions();
  task.prompt = from.getPrompt();
  OVIR_ASSIGN(task.tokens, fixed_list<token_id>(tokens, "token ids"));
  task.sampling = {from.getTemperature(),
                   from.getTopK(),
                   from.getTopP(),
                   from.getMinP(),
                   from.getRepeatPenalty(),
                   from.getSeed(),
                   {}};
  OVIR_ASSIGN(task.sampling.constraint,
              text(from.getConstraint(), limits::constraint_bytes_max, "a constraint"));
  OVIR_ASSIGN(task.input, fixed<digest>(from.getInput(), "a digest"));
  OVIR_ASSIGN(task.kv, fixed_list<digest>(from.getKv(), "digests of K and V"));
  const auto further = from.getFurther();
  if (from.hasFurther()) {
    OVIR_TRY(all_there(further, sizeof(std::uint64_t), limits::audit_message_bytes_max, "numbers"));
    std::vector<std::uint64_t> words;
    for (const std::uint64_t word : further) {
      words.push_back(word);
    }
    OVIR_TRY(read_further(words, task.sampling));
  }
  OVIR_TRY(check(task));
  return task;
}

} // namespace evidence_codec

} // namespace ovir
