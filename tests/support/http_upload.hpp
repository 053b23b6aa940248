#pragma once

#include "tests/support/http_client.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace ovir::test {

/// A request that leaves a file for batches, as clients of OpenAI write it.
[[nodiscard]] std::string http_upload_text(std::string_view content,
                                           const http_fields& fields = {});
/// Likewise, on a connection of its own.
[[nodiscard]] http_answer http_upload(std::uint16_t port, std::string_view content,
                                      const http_fields& fields = {});

} // namespace ovir::test
