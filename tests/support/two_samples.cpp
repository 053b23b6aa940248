#include "tests/support/two_samples.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <tuple>

namespace ovir::test {

namespace {

constexpr std::size_t bins_max = 40;
constexpr double expected_least = 5; ///< in a bin, of each kind

/// Upper incomplete gamma function, regularised: by a series below its mode, else by a continued
/// fraction.
double gamma_q(double a, double x) {
  if (x <= 0) {
    return 1;
  }
  const double scale = std::exp(-x + a * std::log(x) - std::lgamma(a));
  if (x < a + 1) {
    double term = 1 / a;
    double sum = term;
    for (double n = a + 1; std::abs(term) > 1e-16 * std::abs(sum); ++n) {
      term *= x / n;
      sum += term;
    }
    return std::max(0.0, 1 - sum * scale);
  }
  double b = x + 1 - a;
  double c = 1e300;
  double d = 1 / b;
  double h = d;
  for (double i = 1; i < 1'000; ++i) {
    const double an = -i * (i - a);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    const double step = c * d;
    h *= step;
    if (std::abs(step - 1) < 1e-15) {
      break;
    }
  }
  return scale * h;
}

/// Of more right guesses than `right` among `all`, each right by chance.
double guesses_p(double right, double all) {
  return all == 0 ? 1 : 0.5 * std::erfc((right - all / 2) / std::sqrt(all / 4) / std::sqrt(2.0));
}

/// Upper ends of bins: every value that there is, or as many of both kinds in each.
std::vector<double> ends_of(const sample& a, const sample& b, std::size_t feature) {
  std::vector<double> all;
  for (const sample* const s : {&a, &b}) {
    for (const auto& row : *s) {
      all.push_back(row[feature]);
    }
  }
  std::sort(all.begin(), all.end());
  const std::set<double> different(all.begin(), all.end());
  if (different.size() <= bins_max) {
    return {different.begin(), different.end()};
  }
  std::set<double> ends{all.back()};
  for (std::size_t i = 1; i < bins_max; ++i) {
    ends.insert(all[i * all.size() / bins_max]);
  }
  return {ends.begin(), ends.end()};
}

std::size_t bin_of(const std::vector<double>& ends, double value) {
  const auto found = std::lower_bound(ends.begin(), ends.end(), value);
  return found == ends.end() ? ends.size() - 1 : static_cast<std::size_t>(found - ends.begin());
}

std::vector<double> counts(const sample& s, std::size_t feature, const std::vector<double>& ends) {
  std::vector<double> all(ends.size());
  for (const auto& row : s) {
    ++all[bin_of(ends, row[feature])];
  }
  return all;
}

/// Places of features in which one kind is more frequent, the surest first.
struct place {
  double surety{0}; ///< above 0: of the first kind
  std::size_t feature{0};
  std::size_t bin{0};
};

double places_p(const sample& a_train, const sample& b_train, const sample& a, const sample& b,
                std::size_t features) {
  std::vector<std::vector<double>> ends;
  std::vector<place> places;
  for (std::size_t f = 0; f < features; ++f) {
    ends.push_back(ends_of(a_train, b_train, f));
    const auto in_a = counts(a_train, f, ends[f]);
    const auto in_b = counts(b_train, f, ends[f]);
    for (std::size_t i = 0; i < in_a.size(); ++i) {
      const double z = (in_a[i] - in_b[i]) / std::sqrt(std::max(1.0, in_a[i] + in_b[i]));
      if (std::abs(z) > 3.5) {
        places.push_back({z, f, i});
      }
    }
  }
  std::sort(places.begin(), places.end(),
            [](const place& x, const place& y) { return std::abs(x.surety) > std::abs(y.surety); });
  double right = 0;
  double guessed = 0;
  for (const sample* const s : {&a, &b}) {
    for (const auto& row : *s) {
      const auto found = std::find_if(places.begin(), places.end(), [&](const place& p) {
        return bin_of(ends[p.feature], row[p.feature]) == p.bin;
      });
      if (found != places.end()) {
        ++guessed;
        right += (found->surety > 0) == (s == &a) ? 1 : 0;
      }
    }
  }
  return guesses_p(right, guessed);
}

/// A logistic regression over features of mean 0 and deviation 1.
class regression {
public:
  regression(const sample& a, const sample& b, std::size_t features)
      : mean_(features), deviation_(features), weights_(features + 1) {
    const auto rows = static_cast<double>(a.size() + b.size());
    for (std::size_t f = 0; f < features; ++f) {
      double squares = 0;
      for (const sample* const s : {&a, &b}) {
        for (const auto& row : *s) {
          mean_[f] += row[f] / rows;
          squares += row[f] * row[f] / rows;
        }
      }
      deviation_[f] = std::sqrt(std::max(0.0, squares - mean_[f] * mean_[f]));
    }
    for (int round = 0; round < 150; ++round) {
      std::vector<double> slope(weights_.size());
      for (const sample* const s : {&a, &b}) {
        for (const auto& row : *s) {
          const double miss = (s == &a ? 1 : 0) - 1 / (1 + std::exp(-score(row)));
          for (std::size_t f = 0; f < features; ++f) {
            slope[f] += miss * scaled(row, f);
          }
          slope.back() += miss;
        }
      }
      for (std::size_t f = 0; f < weights_.size(); ++f) {
        weights_[f] += slope[f] / rows;
      }
    }
  }

  [[nodiscard]] double score(const std::vector<double>& row) const {
    double sum = weights_.back();
    for (std::size_t f = 0; f < mean_.size(); ++f) {
      sum += weights_[f] * scaled(row, f);
    }
    return sum;
  }

private:
  [[nodiscard]] double scaled(const std::vector<double>& row, std::size_t f) const {
    return deviation_[f] > 0 ? (row[f] - mean_[f]) / deviation_[f] : 0;
  }

  std::vector<double> mean_;
  std::vector<double> deviation_;
  std::vector<double> weights_;
};

double regression_p(const sample& a_train, const sample& b_train, const sample& a, const sample& b,
                    std::size_t features) {
  const regression learnt{a_train, b_train, features};
  double right = 0;
  for (const auto& row : a) {
    right += learnt.score(row) > 0 ? 1 : 0;
  }
  for (const auto& row : b) {
    right += learnt.score(row) <= 0 ? 1 : 0;
  }
  return guesses_p(right, static_cast<double>(a.size() + b.size()));
}

sample half(const sample& all, std::size_t which) {
  sample some;
  for (std::size_t i = which; i < all.size(); i += 2) {
    some.push_back(all[i]);
  }
  return some;
}

} // namespace

double feature_p(const sample& a, const sample& b, std::size_t feature) {
  const auto ends = ends_of(a, b, feature);
  const auto in_a = counts(a, feature, ends);
  const auto in_b = counts(b, feature, ends);
  const double share = static_cast<double>(a.size()) / static_cast<double>(a.size() + b.size());
  double chi = 0;
  double bins = 0;
  double some_a = 0; // bins of few go together with the next
  double some = 0;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    some_a += in_a[i];
    some += in_a[i] + in_b[i];
    const double expected = some * share;
    if (expected < expected_least || some - expected < expected_least) {
      continue;
    }
    chi += (some_a - expected) * (some_a - expected) / (expected * (1 - share));
    ++bins;
    some_a = some = 0;
  }
  return bins < 2 ? 1 : gamma_q((bins - 1) / 2, chi / 2);
}

verdict_of_judges tell_apart(const std::vector<std::string>& names, const sample& a,
                             const sample& b) {
  constexpr double judges = 3;
  verdict_of_judges best;
  const auto hear = [&](double p, const std::string& by) {
    if (p * judges < best.p) {
      best = {p * judges, by};
    }
  };
  for (std::size_t f = 0; f < names.size(); ++f) {
    hear(feature_p(a, b, f) * static_cast<double>(names.size()), names[f]);
  }
  hear(places_p(half(a, 0), half(b, 0), half(a, 1), half(b, 1), names.size()), "places");
  hear(regression_p(half(a, 0), half(b, 0), half(a, 1), half(b, 1), names.size()), "regression");
  return best;
}

} // namespace ovir::test
