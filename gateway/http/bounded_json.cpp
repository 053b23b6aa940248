#include "gateway/http/bounded_json.hpp"

#include "messages/limits/gateway.hpp"

#include <algorithm>
#include <set>
#include <vector>

namespace ovir::gateway {

namespace {

/// Follows a document without keeping it; false ends the reading.
class form_check final : public nlohmann::json_sax<json> {
public:
  enum class fault : std::uint8_t { syntax, depth, values, members, twice };

  bool null() override { return count(); }
  bool boolean(bool) override { return count(); }
  bool number_integer(number_integer_t) override { return count(); }
  bool number_unsigned(number_unsigned_t) override { return count(); }
  bool number_float(number_float_t, const string_t&) override { return count(); }
  bool string(string_t&) override { return count(); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return begin(); }
  bool start_array(std::size_t) override { return begin(); }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }
  bool key(string_t& name) override {
    if (!open_.back().insert(std::move(name)).second) {
      fault_ = fault::twice;
      return false;
    }
    if (open_.back().size() > limits::api_json_members_max) {
      fault_ = fault::members;
      return false;
    }
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    position_ = position;
    return false;
  }

  [[nodiscard]] error reason() const {
    switch (fault_) {
    case fault::depth:
      return fail(errc::over_limit, "the body is nested more than {} deep",
                  limits::api_json_depth_max);
    case fault::values:
      return fail(errc::over_limit, "the body has more than {} values",
                  limits::api_json_values_max);
    case fault::members:
      return fail(errc::over_limit, "an object of the body has more than {} members",
                  limits::api_json_members_max);
    case fault::twice: return fail(errc::malformed, "an object of the body has a key twice");
    case fault::syntax: break;
    }
    return fail(errc::malformed, "the body is no JSON in UTF-8: wrong at byte {}", position_);
  }

private:
  bool count() {
    if (++values_ > limits::api_json_values_max) {
      fault_ = fault::values;
      return false;
    }
    return true;
  }
  bool begin() {
    if (open_.size() == limits::api_json_depth_max) {
      fault_ = fault::depth;
      return false;
    }
    open_.emplace_back();
    return count();
  }
  bool end() {
    open_.pop_back();
    return true;
  }

  std::vector<std::set<std::string>> open_; ///< the keys so far
  std::size_t values_{0};
  std::size_t position_{0};
  fault fault_{fault::syntax};
};

} // namespace

result<json> parse_object(std::string_view text) {
  form_check form;
  if (!json::sax_parse(text, &form)) {
    return form.reason();
  }
  json document = json::parse(text, nullptr, false);
  if (!document.is_object()) {
    return fail(errc::malformed, "the body must be a JSON object");
  }
  return document;
}

bool is_json(std::string_view type) {
  constexpr std::string_view wanted = "application/json";
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ')) {
    type.remove_suffix(1);
  }
  return type.size() == wanted.size() &&
         std::equal(type.begin(), type.end(), wanted.begin(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}

} // namespace ovir::gateway
