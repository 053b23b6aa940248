#pragma once

#include "storage/env/env.hpp"

#include <memory>
#include <string_view>

namespace ovir::apps {

/// How the embedded model is named in reports.
inline constexpr std::string_view embedded_model_name = "embedded tales-q4_k_m.gguf";

/// The model linked into this program (assets/README.md), as if it were a mapped file.
[[nodiscard]] std::unique_ptr<storage::mapped_file> embedded_model();

} // namespace ovir::apps
