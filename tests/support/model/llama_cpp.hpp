#pragma once

#include "messages/ids.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace ovir::test {

/// A model loaded by llama.cpp's own library, through its C API. Throws what the library says when
/// it refuses.
class llama_cpp {
public:
  /// `folder`: see `peer_folder`.
  llama_cpp(const std::filesystem::path& folder, const std::filesystem::path& model);

  /// Computes with this LoRA adapter from now on.
  void use_adapter(const std::filesystem::path& adapter);

  /// [tokens][vocabulary], one batch from position 0, by one thread. At most 256 tokens.
  [[nodiscard]] std::vector<float> logits_of(const std::vector<token_id>& ids,
                                             std::uint32_t vocabulary) const;
  /// Without BOS, and with control tokens read as text.
  [[nodiscard]] std::vector<token_id> tokenize(const std::string& text) const;

  /// Quantises a model of floats, without an importance matrix. `file_type` is llama.cpp's number
  /// of the recipe (15 is Q4_K_M). Throws what the library says when it refuses.
  static void quantize(const std::filesystem::path& folder, const std::filesystem::path& from,
                       const std::filesystem::path& to, std::uint32_t file_type);

private:
  struct parts;
  std::shared_ptr<parts> parts_;
};

} // namespace ovir::test
