#include "apps/ovir/run/run_output.hpp"

#include "apps/ovir/run/stage_picture.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <chrono>

namespace ovir::apps {

namespace {

// Tokens of the prompt per second, up to the first token drawn; 0 when there was no time to
// measure.
double per_second(std::size_t count, std::chrono::nanoseconds time) {
  const double seconds = std::chrono::duration<double>(time).count();
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

double prefill_tps(const finished_run& run) {
  return per_second(run.prompt.size(), run.report.prefill_time);
}

double decode_tps(const finished_run& run) {
  const std::size_t tokens = run.report.tokens.size();
  return per_second(tokens > 0 ? tokens - 1 : 0, run.report.decode_time);
}

double milliseconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

// One layer over one window each, as many as the request's positions need.
std::uint64_t units_needed(const finished_run& run) {
  const std::uint64_t windows =
      (run.report.positions + limits::window_positions - 1) / limits::window_positions;
  return run.config.layers * windows;
}

picture_box box_of(const supervision::stage_report& stage, std::size_t index,
                   std::uint32_t layers) {
  return {fmt::format("segment {}", index), layers_text(stage.layers),
          ends_text(stage.layers, layers),
          fmt::format("weights {:>10}", bytes_text(stage.weight_bytes)),
          fmt::format("KV      {:>10}", bytes_text(stage.kv_bytes))};
}

} // namespace

json document_of(const finished_run& run) {
  json stages = json::array();
  for (const supervision::stage_report& stage : run.report.stages) {
    stages.push_back({{"first_layer", stage.layers.first},
                      {"last_layer", stage.layers.last - 1},
                      {"weight_bytes", stage.weight_bytes},
                      {"kv_bytes", stage.kv_bytes}});
  }
  return {{"text", run.report.text},
          {"prompt_tokens", run.prompt},
          {"tokens", run.report.tokens},
          {"transcript", to_hex(run.report.transcript)},
          {"receipt", run.receipt.empty() ? json(nullptr) : json(run.receipt)},
          {"finish_reason", to_string(run.report.reason)},
          {"timing",
           {{"prefill_tps", prefill_tps(run)},
            {"decode_tps", decode_tps(run)},
            {"ttft_ms", milliseconds(run.report.time_to_first_token)}}},
          {"units",
           {{"needed", units_needed(run)},
            {"computed", run.report.units_computed},
            {"memory", run.report.reused.memory},
            {"disk", run.report.reused.disk},
            {"peer", run.report.reused.peer}}},
          {"answer_reused", run.report.answer_reused},
          {"stages", std::move(stages)},
          {"restarts", run.report.restarts},
          {"speculation", {{"drafted", run.report.drafted}, {"accepted", run.report.accepted}}},
          {"model", run.model},
          {"isa", run.isa},
          {"threads", run.threads},
          {"seed", run.sampling.seed}};
}

std::string picture_of(const std::vector<supervision::stage_report>& stages, std::uint32_t layers) {
  std::vector<picture_box> boxes;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    boxes.push_back(box_of(stages[i], i, layers));
  }
  return picture_of(boxes);
}

std::string summary_of(const finished_run& run) {
  const supervision::run_report& report = run.report;
  std::string text = fmt::format("\n{} in {} segment{}, {} thread{}, {} kernels\n", run.model,
                                 report.stages.size(), report.stages.size() == 1 ? "" : "s",
                                 run.threads, run.threads == 1 ? "" : "s", run.isa);
  text += picture_of(report.stages, run.config.layers);
  text +=
      fmt::format("prefill    {:.1f} tokens/s ({} tokens)\n", prefill_tps(run), run.prompt.size());
  text += fmt::format("decode     {:.1f} tokens/s ({} tokens, ended by {})\n", decode_tps(run),
                      report.tokens.size(), to_string(report.reason));
  text += fmt::format("first token after {:.1f} ms\n", milliseconds(report.time_to_first_token));
  if (report.drafted > 0) {
    text += fmt::format("guesses    {} of {} tokens were right\n", report.accepted, report.drafted);
  }
  const actors::units_reused& reused = report.reused;
  if (const std::uint64_t all = reused.memory + reused.disk + reused.peer; all > 0) {
    text +=
        fmt::format("reused     {} of {} units ({} from memory, {} from disk, {} from peers){}\n",
                    all, units_needed(run), reused.memory, reused.disk, reused.peer,
                    report.answer_reused ? ": the whole answer" : "");
  }
  text += fmt::format("restarts   {}\n", report.restarts);
  if (run.sampling.temperature > 0) {
    text += fmt::format("seed       {}\n", run.sampling.seed);
  }
  if (!run.receipt.empty()) {
    text += fmt::format("receipt    {}\n", run.receipt);
  }
  return text + fmt::format("transcript {}\n", to_hex(report.transcript));
}

} // namespace ovir::apps
