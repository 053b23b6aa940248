#pragma once

#include "compute/parts/part_group.hpp"

namespace ovir::actors {

/// What a leader tells the members of a group that it forms.
using group_order = compute::part_group;
using compute::decode_order;
using compute::encode_order;

} // namespace ovir::actors
