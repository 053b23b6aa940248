#include "templates/tests_of_values.hpp"

#include "compute/base/printable.hpp"
#include "templates/operators.hpp"
#include "templates/syntax.hpp"
#include "templates/text_methods.hpp"

#include <algorithm>
#include <array>

namespace ovir::templates {

namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 16> relations{{
    {"eq", "=="},
    {"equalto", "=="},
    {"==", "=="},
    {"ne", "!="},
    {"!=", "!="},
    {"lt", "<"},
    {"<", "<"},
    {"lessthan", "<"},
    {"le", "<="},
    {"<=", "<="},
    {"gt", ">"},
    {">", ">"},
    {"greaterthan", ">"},
    {"ge", ">="},
    {">=", ">="},
    {"in", "in"},
}};

struct kind_test {
  std::string_view name;
  bool (*holds)(const value&);
};

bool is_cased(const value& v, char (*change)(char)) {
  const marked_text* const text = v.as_text();
  if (text == nullptr) {
    return false;
  }
  const std::string& bytes = text->bytes();
  const bool any = std::any_of(bytes.begin(), bytes.end(),
                               [](char c) { return ascii_lower(c) != c || ascii_upper(c) != c; });
  return any && std::all_of(bytes.begin(), bytes.end(), [&](char c) { return change(c) == c; });
}

bool is_callable(const value& v) {
  return v.get<function_value>() != nullptr || v.get<std::shared_ptr<const macro>>() != nullptr;
}

constexpr std::array<kind_test, 18> kind_tests{{
    {"defined", [](const value& v) { return !v.is_undefined(); }},
    {"undefined", [](const value& v) { return v.is_undefined(); }},
    {"none", [](const value& v) { return v.is_none(); }},
    {"string", [](const value& v) { return v.as_text() != nullptr; }},
    {"number", [](const value& v) { return v.as_number().has_value(); }},
    {"integer", [](const value& v) { return v.get<std::int64_t>() != nullptr; }},
    {"float", [](const value& v) { return v.get<double>() != nullptr; }},
    {"boolean", [](const value& v) { return v.get<bool>() != nullptr; }},
    {"true", [](const value& v) { return v.get<bool>() != nullptr && v.truth(); }},
    {"false", [](const value& v) { return v.get<bool>() != nullptr && !v.truth(); }},
    {"mapping", [](const value& v) { return v.as_dict() != nullptr; }},
    {"iterable",
     [](const value& v) {
       return v.as_text() != nullptr || v.as_list() != nullptr || v.as_dict() != nullptr ||
              v.is_undefined();
     }},
    {"sequence",
     [](const value& v) {
       return v.as_text() != nullptr || v.as_list() != nullptr || v.as_dict() != nullptr ||
              v.is_undefined();
     }},
    {"callable", is_callable},
    {"odd", [](const value& v) { return v.as_integer().value_or(0) % 2 != 0; }},
    {"even", [](const value& v) { return v.as_integer().value_or(1) % 2 == 0; }},
    {"lower", [](const value& v) { return is_cased(v, [](char c) { return ascii_lower(c); }); }},
    {"upper", [](const value& v) { return is_cased(v, [](char c) { return ascii_upper(c); }); }},
}};

} // namespace

bool apply_test(rendering& r, std::string_view name, const call_values& with) {
  if (r.failed()) {
    return false;
  }
  const value& v = with.plain.front();
  const auto* const kind = std::find_if(kind_tests.begin(), kind_tests.end(),
                                        [&](const kind_test& t) { return t.name == name; });
  const auto* const relation = std::find_if(relations.begin(), relations.end(),
                                            [&](const auto& known) { return known.first == name; });
  const std::size_t wanted = kind != kind_tests.end() ? 1 : 2;
  const bool known = kind != kind_tests.end() || relation != relations.end() ||
                     name == "divisibleby" || name == "sameas";
  if (!known) {
    r.wrong(errc::unsupported,
            fmt::format("the test '{}' is not known here", compute::printable(name)));
    return false;
  }
  if (with.plain.size() != wanted || !with.named.empty()) {
    r.wrong(errc::malformed, fmt::format("the test '{}' takes {} arguments", name, wanted - 1));
    return false;
  }
  if (kind != kind_tests.end()) {
    return r.charge(v.as_text() != nullptr ? v.weight() / 64 : 0) && kind->holds(v);
  }
  if (relation != relations.end()) {
    return holds(r, v, relation->second, with.plain[1]);
  }
  if (name == "sameas") {
    return v.kind() == with.plain[1].kind() && holds(r, v, "==", with.plain[1]);
  }
  return integer_arithmetic(r, "%", r.integer_or(v, 0), r.integer_or(with.plain[1], 0)) ==
         value{std::int64_t{0}};
}

} // namespace ovir::templates
