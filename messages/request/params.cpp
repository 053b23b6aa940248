#include "messages/request/params.hpp"

namespace ovir {

namespace {

template <class Number>
result<void> in_range(std::string_view name, Number value, bool good, std::string_view range) {
  if (good) {
    return {};
  }
  return fail(errc::invalid_argument, "{} is {}, but must be {}", name, value, range);
}

} // namespace

result<void> check(const sampling_params& params) {
  const float t = params.temperature;
  OVIR_TRY(in_range("temperature", t, t == 0 || (t >= 1e-3F && t <= 1e3F),
                    "0 (greedy) or between 0.001 and 1000"));
  OVIR_TRY(in_range("top_p", params.top_p, params.top_p > 0 && params.top_p <= 1,
                    "greater than 0 and at most 1"));
  OVIR_TRY(in_range("min_p", params.min_p, params.min_p >= 0 && params.min_p < 1,
                    "at least 0 and less than 1"));
  const float penalty = params.repeat_penalty;
  return in_range("repeat_penalty", penalty, penalty >= 0.01F && penalty <= 100,
                  "between 0.01 and 100");
}

result<speculation> speculation_from(std::string_view name) {
  if (name == "auto") {
    return speculation::automatic;
  }
  if (name == "on" || name == "off") {
    return name == "on" ? speculation::on : speculation::off;
  }
  return fail(errc::invalid_argument, "speculate is '{}', but must be auto, on or off", name);
}

} // namespace ovir
