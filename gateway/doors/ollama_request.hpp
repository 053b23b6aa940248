#pragma once

#include "gateway/api/completion_request.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace ovir::gateway {

/// What a body of Ollama's API asks for.
enum class ollama_task : std::uint8_t {
  chat,       ///< POST /api/chat
  generate,   ///< POST /api/generate
  embed,      ///< POST /api/embed
  embeddings, ///< POST /api/embeddings, its older form
  show,       ///< POST /api/show
  pull,       ///< POST /api/pull
};

struct ollama_request {
  completion_request asked; ///< less its form
  std::string called;       ///< the model, as the client wrote it
  /// A chat or a generation without a text: only the model is asked for, as for `show` and `pull`.
  bool model_alone{false};
};

/// Errors name the parameter as Ollama does. The model's name is without the tag ":latest".
[[nodiscard]] api_result<ollama_request> read_ollama(ollama_task task, std::string_view body,
                                                     std::chrono::milliseconds usual);

} // namespace ovir::gateway
