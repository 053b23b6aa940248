#pragma once

#include "ledger/rules/state.hpp"
#include "messages/result.hpp"

/// LEDGER.md section 3 as code. What one state can show is checked by `check_invariants`; what
/// needs the log (4: ids, 6: evidence, 8: chain and tree, 9: replay) by `verify.hpp`.
namespace ovir::ledger {

/// 1: all balances add up to what was minted. 2: none is below zero (they are unsigned; here: each
/// pending balance is the sum of its pending windows, each stake covers what is called back).
/// 3: accrued + refunded + held = reserved, per request. 4: ids are as many as entries. 5: accrued
/// + refunded for cache hits = tokens up to the frontier * rate. 7 follows from 2: a slash is a
/// posting from a stake. 10: verifiers of an epoch have hash chains for it, and their links are the
/// last that are known of these. `internal` with the first that is broken.
[[nodiscard]] result<void> check_invariants(const state& s);

/// 7, for one entry: what left a stake for good is at most what was in it before. `before` is the
/// state that the entry was applied to.
[[nodiscard]] result<void> check_slash(const state& before, const std::vector<posting>& effects);

} // namespace ovir::ledger
