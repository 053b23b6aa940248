#pragma once

#include <string>
#include <string_view>

namespace ovir::storage {

/// The check that ends every record of an index written by LMDB (`store_record.hpp`, `checked`): a
/// record from what it says, and what one says.
[[nodiscard]] std::string with_check(std::string_view key, std::string body);
[[nodiscard]] std::string_view without_check(std::string_view record);

} // namespace ovir::storage
