#pragma once

#include <cstddef>
#include <string>
#include <vector>

/// Whether two kinds of things can be told apart by numbers that are seen of each.
namespace ovir::test {

/// Rows of one kind; a number for each feature.
using sample = std::vector<std::vector<double>>;

/// Of a feature by itself: chi-square over bins of both kinds together. The chance to see such a
/// difference where there is none.
[[nodiscard]] double feature_p(const sample& a, const sample& b, std::size_t feature);

struct verdict_of_judges {
  double p{1}; ///< of the best of all judges, with each look counted
  std::string by;
};
/// The best of three judges. One looks at each feature. One learns from one half in which places of
/// which features a kind is more frequent, and guesses the kind of what lies there in the other
/// half. One learns a logistic regression over all features, and guesses all of the other half.
[[nodiscard]] verdict_of_judges tell_apart(const std::vector<std::string>& names, const sample& a,
                                           const sample& b);

} // namespace ovir::test
