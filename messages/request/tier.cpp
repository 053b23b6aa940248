#include "messages/request/tier.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace ovir {

namespace {

result<void> check_property(const std::string& text, std::size_t most, std::string_view what) {
  if (text.size() > most) {
    return fail(errc::over_limit, "the {} of a tier has {} bytes; at most {} are allowed", what,
                text.size(), most);
  }
  const auto printable = [](char c) { return c >= ' ' && c <= '~' && c != ','; };
  if (!std::all_of(text.begin(), text.end(), printable) || text.starts_with(' ') ||
      text.ends_with(' ')) {
    return fail(errc::malformed,
                "the {} of a tier has characters beside printable ASCII, commas, or blanks around "
                "it",
                what);
  }
  return {};
}

bool same_level(std::string_view has, std::string_view wanted) noexcept {
  return wanted.empty() || has == wanted || (wanted == any_level && !has.empty());
}

/// Takes the next word of a tier's text.
result<void> take_word(std::string_view word, tier_demand& to) {
  const std::size_t at = word.find('=');
  const std::string_view key = word.substr(0, at);
  const std::string_view value =
      at == std::string_view::npos ? std::string_view{} : word.substr(at + 1);
  if (key == "attestor") {
    const auto attestor = node_id_from_hex(value);
    if (!attestor || attestor->empty()) {
      return fail(errc::invalid_argument,
                  "attestor '{}' of the tier is no key of 64 hexadecimal digits",
                  value.substr(0, 72));
    }
    to.attestors.push_back(*attestor);
    return {};
  }
  std::string* const property = key == "operator"       ? &to.properties.operated_by
                                : key == "region"       ? &to.properties.region
                                : key == "confidential" ? &to.properties.confidential
                                                        : nullptr;
  if (property == nullptr || !property->empty()) {
    return fail(errc::invalid_argument,
                "'{}' of the tier is unknown or there twice; known are attestor, operator, region "
                "and confidential",
                key.substr(0, 32));
  }
  *property = at == std::string_view::npos && key == "confidential" ? any_level : value;
  if (property->empty()) {
    return fail(errc::invalid_argument, "'{}' of the tier has no value", key);
  }
  return {};
}

} // namespace

result<void> check(const node_properties& what) {
  OVIR_TRY(check_property(what.operated_by, limits::attested_operator_bytes_max, "operator"));
  OVIR_TRY(check_property(what.region, limits::attested_region_bytes_max, "region"));
  return check_property(what.confidential, limits::attested_level_bytes_max, "confidential level");
}

result<void> check(const tier_demand& demand) {
  if (demand.attestors.size() > limits::tier_attestors_max) {
    return fail(errc::over_limit, "{} attestors of a tier; at most {} are allowed",
                demand.attestors.size(), limits::tier_attestors_max);
  }
  const auto wrong = [](const node_id& a, const node_id& b) { return !(a < b); };
  if (demand.attestors.empty() || demand.attestors.front().empty() ||
      std::adjacent_find(demand.attestors.begin(), demand.attestors.end(), wrong) !=
          demand.attestors.end()) {
    return fail(errc::malformed, "the attestors of a tier are none, or do not ascend");
  }
  return check(demand.properties);
}

result<tier_demand> tier_from_text(std::string_view text) {
  if (text.size() > limits::tier_text_bytes_max) {
    return fail(errc::over_limit, "a tier of {} bytes; at most {} are allowed", text.size(),
                limits::tier_text_bytes_max);
  }
  tier_demand demand;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    OVIR_TRY(take_word(text.substr(at, end - at), demand));
    at = end + 1;
  }
  std::sort(demand.attestors.begin(), demand.attestors.end());
  OVIR_TRY(check(demand));
  return demand;
}

std::string to_text(const tier_demand& demand) {
  std::string text;
  const auto add = [&text](std::string_view key, const std::string& value) {
    if (!value.empty()) {
      text += text.empty() ? "" : ",";
      text.append(key).append("=").append(value);
    }
  };
  for (const node_id& attestor : demand.attestors) {
    add("attestor", to_hex(attestor));
  }
  add("operator", demand.properties.operated_by);
  add("region", demand.properties.region);
  add("confidential", demand.properties.confidential);
  return text;
}

bool covers(const node_properties& has, const node_properties& wanted) noexcept {
  return (wanted.operated_by.empty() || has.operated_by == wanted.operated_by) &&
         (wanted.region.empty() || has.region == wanted.region) &&
         same_level(has.confidential, wanted.confidential);
}

node_properties common(const node_properties& a, const node_properties& b) {
  node_properties both;
  both.operated_by = a.operated_by == b.operated_by ? a.operated_by : "";
  both.region = a.region == b.region ? a.region : "";
  both.confidential = a.confidential == b.confidential                   ? a.confidential
                      : a.confidential.empty() || b.confidential.empty() ? std::string{}
                                                                         : std::string{any_level};
  return both;
}

std::string to_string(const node_properties& what) {
  std::string text;
  const auto add = [&text](std::string_view name, const std::string& value) {
    if (!value.empty()) {
      text += text.empty() ? "" : ", ";
      text.append(name).append(" ").append(value);
    }
  };
  add("operator", what.operated_by);
  add("region", what.region);
  add("confidential", what.confidential);
  return text.empty() ? "nothing" : text;
}

digest names_salt(const digest& owner, const tier_demand& demand) {
  return hasher{"ovir/tier/v1/names"}.update(owner).update_text(to_text(demand)).finish();
}

} // namespace ovir
