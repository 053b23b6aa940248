#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What `ovir bench` measures and finds: plain values, from the measuring to the report.
namespace ovir::apps::bench {

/// What was asked for. Every combination of threads, depth and batch is a point.
struct plan {
  std::vector<std::uint32_t> prompts{128};
  std::uint32_t tokens{32};
  std::vector<std::uint32_t> batches{1};
  std::vector<std::uint32_t> depths{0};
  std::vector<std::uint32_t> threads{};
  std::uint32_t runs{3};
  std::uint32_t chunk{64};
  bool profile{false};
};

/// Evaluating a prompt, once per run.
struct prefill_point {
  std::uint32_t threads{0};
  std::uint32_t depth{0};
  std::uint32_t prompt{0};
  std::vector<double> tps;
  std::vector<double> peak; ///< operations per second of only multiplying, measured around each run
};

/// One run of decoding; times in seconds.
struct decode_run {
  double tps{0};     ///< of all sequences together
  double step{0};    ///< a step of all sequences, from one draw to the next
  double read{0};    ///< only reading the weights of a step once, between the steps
  double drawing{0}; ///< of a step: choosing the tokens
  double digest{0};  ///< of a step: the digests of the logits
};

/// Where the time of a step goes, by operation.
enum class operation : std::uint8_t {
  attn_q,
  attn_k,
  attn_v,
  attn_output,
  ffn_gate,
  ffn_up,
  ffn_down,
  head,
  attend,
  norm,
  quantize,
  rotate,
  swiglu,
  add,
  to_half,
};
inline constexpr std::size_t operations = 15;
[[nodiscard]] std::string_view name_of(operation op) noexcept;

/// Seconds per step. They add up to `step`.
struct step_profile {
  std::array<double, operations> spent{}; ///< shared by the threads while they work together
  double waiting{0}; ///< parallel regions without their kernels: waking, waiting, uneven parts
  double between{0}; ///< one thread alone between regions, without kernels: digests of boundaries
  double logits{0};  ///< digests of logits, and drawing
  double step{0};
};

/// Decoding with several sequences at once.
struct decode_point {
  std::uint32_t threads{0};
  std::uint32_t depth{0}; ///< positions before the first token decoded
  std::uint32_t batch{0};
  std::uint64_t kv_bytes{0}; ///< read by a step, on average
  std::vector<decode_run> runs;
  std::optional<step_profile> profile;
  std::vector<digest> transcripts; ///< of each sequence, in all runs alike
};

/// What the model is to the machine, whatever the speed.
struct model_facts {
  std::string path;
  std::uint64_t file_bytes{0};
  std::uint64_t weight_bytes{0};                    ///< in the file's encoding, of one token
  std::uint64_t weight_bytes_read{0};               ///< as they lie in memory, of one token
  std::uint64_t packed_bytes{0};                    ///< of these, rearranged for the kernels
  std::uint64_t layer_operations{0};                ///< two per weight of the layers: of each token
  std::uint64_t head_operations{0};                 ///< of each row of logits
  std::array<std::uint64_t, operations> bytes_of{}; ///< read, by operation
  bool integers{true};                              ///< its products are of integers
};

/// Everything found.
struct findings {
  model_facts model;
  std::vector<prefill_point> prefill;
  std::vector<decode_point> decode;
  digest logits;             ///< of all rows that the first sequence drew from at the first point
  std::uint64_t kv_bytes{0}; ///< of all sequences that were held at once
  std::uint64_t peak_rss_bytes{0};
};

} // namespace ovir::apps::bench
