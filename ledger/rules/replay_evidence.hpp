#pragma once

#include "ledger/rules/command.hpp"
#include "messages/evidence/audit.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <functional>
#include <span>

/// What lets a ledger convict by replay: the conviction that verifiers signed, as one message of
/// messages/evidence/audit.hpp. Whether what it says of the model is so is for who replays it.
namespace ovir::ledger {

/// Whether `x` follows from the conviction in `bytes` and the reservation of its request: the
/// digest names it, it is about this request and window, it convicts this node and nothing was
/// admitted, and its verdicts are signed by verifiers of different operators with different
/// kernels, all of `x` among them. `malformed` or `invalid_argument` with what does not fit.
[[nodiscard]] result<void> check_replay(const convict& x, const reserve& reservation,
                                        std::span<const std::byte> bytes,
                                        const std::function<role_set(const node_id&)>& roles_of,
                                        const operator_of& operators);

/// Whether these bytes are a conviction about this request that its node admitted.
[[nodiscard]] bool is_admitted(std::span<const std::byte> bytes, const reserve& reservation);

} // namespace ovir::ledger
