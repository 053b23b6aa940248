#pragma once

#include "compute/model/transcript.hpp"
#include "compute/text/sampler.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ovir::apps {

/// Everything a request stated about its computation, as `ovir run --transcript` writes it and
/// `ovir-verify` reads it (docs/formats/transcript-file.md).
struct transcript_file {
  std::string model_name;
  digest model_file;          ///< plain BLAKE3 of the GGUF file
  bool model_is_named{false}; ///< `model_file` is the digest of its manifest: a receipt's
  std::vector<token_id> prompt;
  std::vector<token_id> output;
  sampling_params sampling;
  std::string finish_reason;
  std::uint32_t hashed_layers{0}; ///< layers of the model less one
  std::uint32_t positions{0};     ///< positions computed
  std::vector<compute::unit_leaf> units;
  std::vector<std::pair<position, digest>> logits;
  digest root;
  /// K and V of the last layer by window, where a receipt states them; no part of the file.
  std::vector<digest> last_layer{};

  /// Prompt, then output.
  [[nodiscard]] std::vector<token_id> tokens() const;
};

/// The file's text.
[[nodiscard]] std::string to_text(const transcript_file& file);

/// Reads what anybody may have written: `malformed` names the field, `unsupported` another version
/// or profile, `over_limit` a text beyond limits::transcript_file_bytes_max.
[[nodiscard]] result<transcript_file> parse_transcript_file(std::string_view text);

/// One thing found wrong, and the unit or position where.
struct failure {
  std::string what;
  std::optional<compute::unit_name> unit;
  std::optional<position> at;
  bool is_logits{false}; ///< `at` is about the logits, not about the token drawn
};

/// Checks a file against itself: the set is complete, the root follows from the leaves. Empty when
/// all is well.
[[nodiscard]] std::vector<failure> check_root(const transcript_file& file);

} // namespace ovir::apps
