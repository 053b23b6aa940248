#pragma once

#include "actors/protocol/wire.hpp"

#include <random>

namespace ovir::test {

/// Any message that may be sent, of any kind, mostly short. Error texts are plain letters, so that
/// they read back as they were.
[[nodiscard]] actors::wire_message random_wire(std::mt19937_64& random);

} // namespace ovir::test
