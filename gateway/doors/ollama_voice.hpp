#pragma once

#include "gateway/api/answer_form.hpp"
#include "gateway/doors/ollama_request.hpp"

#include <memory>
#include <span>
#include <string>

namespace ovir::gateway {

/// Answers as Ollama's API has them. `request`: what its body asks for, as `task`.
[[nodiscard]] std::shared_ptr<const answer_form> ollama_form(ollama_task task,
                                                             const ollama_request& request);

/// {"error": ...}
[[nodiscard]] std::string ollama_error(const api_error& why);

/// {"models": [...]} of /api/tags; of /api/ps with `running`.
[[nodiscard]] std::string ollama_models(std::span<const served_model> models, bool running);

} // namespace ovir::gateway
