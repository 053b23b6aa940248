#include "gateway/http/parameters.hpp"

#include "messages/limits/gateway.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ovir::gateway {

namespace {

const json absent;

bool is_empty_value(const json& value) {
  if (value.is_boolean()) {
    return !value.get<bool>();
  }
  if (value.is_number()) {
    return value.get<double>() == 0;
  }
  return value.empty() || (value.is_string() && value.get_ref<const std::string&>().empty());
}

} // namespace

parameters::parameters(const json& object, std::string where)
    : object_(object), where_(std::move(where)) {}

std::string parameters::name_of(std::string_view key) const {
  return fmt::format("{}{}", where_, key);
}

bool parameters::has(std::string_view key) { return !raw(key).is_null(); }

const json& parameters::raw(std::string_view key) {
  known_.emplace(key);
  const auto found = object_.find(key);
  return found == object_.end() ? absent : *found;
}

void parameters::refuse(api_error e) {
  if (!failure_) {
    failure_ = std::move(e);
  }
}

void parameters::refuse(std::string_view key, std::string message) {
  const std::string name = name_of(key);
  refuse(bad_parameter(name, fmt::format("'{}' {}", name, message)));
}

std::uint64_t parameters::whole(std::string_view key, std::uint64_t least, std::uint64_t most,
                                std::uint64_t otherwise) {
  const json& value = raw(key);
  if (value.is_null()) {
    return otherwise;
  }
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() < least ||
      value.get<std::uint64_t>() > most) {
    refuse(key, fmt::format("must be a whole number from {} to {}", least, most));
    return otherwise;
  }
  return value.get<std::uint64_t>();
}

double parameters::number(std::string_view key, double least, double most, double otherwise) {
  const json& value = raw(key);
  if (value.is_null()) {
    return otherwise;
  }
  const double number = value.is_number() ? value.get<double>() : NAN;
  if (!(number >= least && number <= most)) {
    refuse(key, fmt::format("must be a number from {} to {}", least, most));
    return otherwise;
  }
  return number;
}

bool parameters::boolean(std::string_view key, bool otherwise) {
  const json& value = raw(key);
  if (value.is_null()) {
    return otherwise;
  }
  if (!value.is_boolean()) {
    refuse(key, "must be true or false");
    return otherwise;
  }
  return value.get<bool>();
}

std::string parameters::text(std::string_view key, std::size_t bytes_max,
                             std::optional<std::string> otherwise) {
  const json& value = raw(key);
  if (value.is_null() && otherwise) {
    return *otherwise;
  }
  if (!value.is_string()) {
    refuse(key, value.is_null() ? "is missing" : "must be a text");
    return {};
  }
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() > bytes_max) {
    refuse(key, fmt::format("has {} bytes, at most {} are allowed", text.size(), bytes_max));
    return {};
  }
  return text;
}

std::vector<std::string> parameters::texts(std::string_view key, std::size_t most) {
  const json& value = raw(key);
  if (value.is_null()) {
    return {};
  }
  if (value.is_string()) {
    return {value.get<std::string>()};
  }
  if (!value.is_array() || value.size() > most) {
    refuse(key, fmt::format("must be a text or a list of at most {} texts", most));
    return {};
  }
  std::vector<std::string> texts;
  for (const json& one : value) {
    if (!one.is_string()) {
      refuse(key, fmt::format("must be a text or a list of at most {} texts", most));
      return {};
    }
    texts.push_back(one.get<std::string>());
  }
  return texts;
}

void parameters::only(std::string_view key, const json& harmless, std::string_view why) {
  only_one_of(key, {harmless}, why);
}

void parameters::only_one_of(std::string_view key, std::initializer_list<json> harmless,
                             std::string_view why) {
  const json& value = raw(key);
  if (!value.is_null() && std::find(harmless.begin(), harmless.end(), value) == harmless.end()) {
    refuse(unsupported_parameter(name_of(key), why));
  }
}

void parameters::only_empty(std::string_view key, std::string_view why) {
  const json& value = raw(key);
  if (!value.is_null() && !is_empty_value(value)) {
    refuse(unsupported_parameter(name_of(key), why));
  }
}

void parameters::done() {
  for (const auto& [key, value] : object_.items()) {
    if (!known_.contains(key)) {
      const std::string name = name_of(key.substr(0, limits::api_name_bytes_max));
      api_error e = bad_parameter(name, fmt::format("there is no parameter '{}'", name));
      e.code = "unknown_parameter";
      refuse(std::move(e));
      return;
    }
  }
}

} // namespace ovir::gateway
