#include "apps/ovir/run/run_fast.hpp"

#include "apps/blas_library.hpp"
#include "apps/console.hpp"
#include "apps/key_file.hpp"
#include "apps/state_folder.hpp"
#include "compute/forward/dense_forward.hpp"
#include "compute/gguf/manifest.hpp"
#include "compute/text/tokenizer.hpp"
#include "messages/evidence/fast_record.hpp"
#include "messages/limits/evidence.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <span>

namespace ovir::apps {

namespace {

/// Everything one answer leaves behind.
struct fast_answer {
  std::vector<token_id> tokens; ///< prompt and output
  std::vector<std::vector<float>> boundaries;
  std::string text;
  std::string finish_reason{"length"};
  double prefill_seconds{0};
  double decode_seconds{0};
};

double seconds_since(std::chrono::steady_clock::time_point begin, storage::env& environment) {
  return std::chrono::duration<double>(environment.now() - begin).count();
}

result<fast_answer> generate(const fast_orders& orders, const ready_model& model,
                             compute::dense_sequence& sequence, surroundings& around) {
  fast_answer answer;
  answer.tokens = orders.prompt;
  compute::sampler sampler{orders.sampling};
  std::unique_ptr<compute::token_matcher> matcher;
  if (restricts_tokens(orders.sampling)) {
    OVIR_ASSIGN(matcher, compute::token_matcher::make(orders.sampling, model.vocabulary->words()));
  }
  compute::text_stream stream{*model.vocabulary};
  const auto show = [&](const std::string& text) -> result<void> {
    answer.text += text;
    return orders.as_json ? result<void>{} : write_output(text);
  };
  std::vector<float> logits;
  auto begin = around.environment.now();
  OVIR_TRY(sequence.append(orders.prompt, answer.boundaries, logits));
  answer.prefill_seconds = seconds_since(begin, around.environment);
  begin = around.environment.now();
  while (true) {
    const auto at = static_cast<position>(answer.tokens.size());
    const auto output = std::span<const token_id>{answer.tokens}.subspan(orders.prompt.size());
    const auto allowed =
        matcher ? matcher->allowed(output).value_or(compute::token_mask{}) : compute::token_mask{};
    const token_id next = sampler.draw(logits, answer.tokens, at, allowed, output);
    answer.tokens.push_back(next);
    if (model.vocabulary->ends_generation(next)) {
      answer.finish_reason = "stop";
      break;
    }
    OVIR_TRY(show(stream.add(next)));
    if (answer.tokens.size() - orders.prompt.size() >= orders.max_tokens) {
      break;
    }
    if (around.interrupted.load()) {
      answer.finish_reason = "cancelled";
      break;
    }
    OVIR_TRY(sequence.append({&next, 1}, answer.boundaries, logits));
  }
  answer.decode_seconds = seconds_since(begin, around.environment);
  OVIR_TRY(show(stream.finish() + (orders.as_json ? "" : "\n")));
  return answer;
}

result<void> write_record(const fast_orders& orders, const fast_answer& answer,
                          const ready_model& model, const std::string& software,
                          surroundings& around, const secret_key& key) {
  OVIR_ASSIGN(const compute::model_manifest manifest, compute::manifest_of(model.source.metadata));
  fast_record r;
  r.model = compute::name_of(manifest);
  r.layers = model.weights.config.layers;
  r.dim = model.weights.config.dim;
  r.prompt = static_cast<std::uint32_t>(orders.prompt.size());
  r.tokens = answer.tokens;
  r.software = software.substr(0, limits::software_bytes_max);
  for (const std::vector<float>& rows : answer.boundaries) {
    r.rows.insert(r.rows.end(), rows.begin(), rows.end());
  }
  sign(r, key);
  OVIR_TRY(check(r));
  OVIR_ASSIGN(const auto file, around.environment.stage(orders.receipt));
  OVIR_TRY(file->append(encode_fast_record(r)));
  return file->commit();
}

json document_of(const fast_orders& orders, const fast_answer& answer, const std::string& library) {
  const std::size_t output = answer.tokens.size() - orders.prompt.size();
  return {
      {"text", answer.text},
      {"prompt_tokens", orders.prompt},
      {"tokens", std::vector<token_id>(answer.tokens.end() - static_cast<std::ptrdiff_t>(output),
                                       answer.tokens.end())},
      {"profile", compute::fast_profile_name},
      {"reproducible", false},
      {"transcript", nullptr},
      {"receipt", orders.receipt.empty() ? json(nullptr) : json(orders.receipt)},
      {"finish_reason", answer.finish_reason},
      {"timing",
       {{"prefill_tps", static_cast<double>(orders.prompt.size()) / answer.prefill_seconds},
        {"decode_tps", static_cast<double>(output) / answer.decode_seconds},
        {"ttft_ms", answer.prefill_seconds * 1e3}}},
      {"library", library},
      {"seed", orders.sampling.seed}};
}

} // namespace

result<exit_code> run_fast(const fast_orders& orders, const ready_model& model,
                           surroundings& around) {
  std::optional<secret_key> key;
  if (!orders.receipt.empty()) {
    OVIR_ASSIGN(const std::string folder, state_folder());
    OVIR_ASSIGN(key, load_or_make_key(around.environment, key_path_in(folder)));
  }
  OVIR_ASSIGN(const blas_library blas, load_blas());
  const auto positions = static_cast<std::uint32_t>(orders.prompt.size()) + orders.max_tokens;
  OVIR_ASSIGN(compute::dense_sequence sequence,
              compute::dense_sequence::make(model.weights, blas.product, positions));
  OVIR_ASSIGN(const fast_answer answer, generate(orders, model, sequence, around));
  if (key) {
    OVIR_TRY(write_record(orders, answer, model,
                          fmt::format("ovir {} fast {}", OVIR_VERSION, blas.name), around, *key));
  }
  if (orders.as_json) {
    OVIR_TRY(write_document(document_of(orders, answer, blas.name)));
  } else {
    write_note(fmt::format("profile fast ({}): NOT reproducible, another machine may get other "
                           "bits and other words\n",
                           blas.name));
  }
  return exit_code::done;
}

} // namespace ovir::apps
