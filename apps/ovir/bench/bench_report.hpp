#pragma once

#include "apps/console.hpp"
#include "apps/ovir/bench/bench_points.hpp"

#include <string>

namespace ovir::apps::bench {

/// Medians, shares and everything they come from: the document of `ovir bench --json`.
[[nodiscard]] json to_document(const plan& asked, const findings& found, std::string_view kernels);

/// The same for people: a line per point.
[[nodiscard]] std::string to_lines(const plan& asked, const findings& found,
                                   std::string_view kernels);

} // namespace ovir::apps::bench
