#pragma once

#include "learning/training/state_file.hpp"

#include <span>
#include <string>

namespace ovir::apps {

/// The losses of all steps as a line, and those of evaluations as points, as an SVG picture. Same
/// numbers, same bytes.
[[nodiscard]] std::string loss_plot(std::span<const double> losses,
                                    std::span<const learning::evaluation> evaluations);

} // namespace ovir::apps
