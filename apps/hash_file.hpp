#pragma once

#include "messages/digest.hpp"
#include "storage/env.hpp"

namespace ovir::apps {

/// `hash_plain` of a whole file, of which only a part is in memory at a time. Pages of it that were
/// read before are given back, too.
[[nodiscard]] digest hash_file(storage::mapped_file& file);

} // namespace ovir::apps
