#include "messages/request/params.hpp"

#include <bit>

namespace ovir {

hasher& add_numbers(hasher& state, const sampling_params& params) {
  for_each_parameter([&](const auto& row) {
    const auto value = params.*row.value;
    if constexpr (sizeof(value) == sizeof(std::uint64_t)) {
      state.update_u64(std::bit_cast<std::uint64_t>(value));
    } else {
      state.update_u32(std::bit_cast<std::uint32_t>(value));
    }
  });
  return state.update_u64(params.seed);
}

result<void> check(const sampling_params& params) {
  result<void> good;
  for_each_parameter([&](const auto& row) {
    if (good && !row.allows(params.*row.value)) {
      good = fail(errc::invalid_argument, "{} is {}, but {}", row.name, params.*row.value,
                  range_of(row));
    }
  });
  return good;
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
