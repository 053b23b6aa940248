#pragma once

#include "messages/derived_index.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <memory>
#include <string>

namespace ovir::storage {

/// What opening found.
struct derived_index_report {
  bool damaged{false}; ///< what was there is gone; it is to be made again
};

/// An index of records in `folder`/index.mdb, on the machinery of the content store: LMDB writes
/// it, every page is checked before it is believed, every record has its check, and all of them
/// add up. One that is damaged is empty again. The folder is there and locked;
/// `environment` outlives the index.
[[nodiscard]] result<std::unique_ptr<derived_index>>
open_lmdb_index(env& environment, const std::string& folder, derived_index_report& report);

} // namespace ovir::storage
