#pragma once

namespace ovir::learning {

__extension__ using uint128 = unsigned __int128; // not ISO C++; the keyword keeps -Wpedantic quiet

} // namespace ovir::learning
