#include "templates/json_value.hpp"

#include <utility>

namespace ovir::templates {

value value_of(const nlohmann::ordered_json& document) {
  using kind = nlohmann::ordered_json::value_t;
  switch (document.type()) {
  case kind::boolean: return value{document.get<bool>()};
  case kind::number_integer: return value{document.get<std::int64_t>()};
  case kind::number_unsigned:
    return document.get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX)
               ? value{document.get<std::int64_t>()}
               : value{document.get<double>()};
  case kind::number_float: return value{document.get<double>()};
  case kind::string: return value::outside(document.get_ref<const std::string&>());
  case kind::array: {
    std::vector<value> items;
    items.reserve(document.size());
    for (const auto& item : document) {
      items.push_back(value_of(item));
    }
    return value::list(std::move(items));
  }
  case kind::object: {
    dict_value members;
    members.items.reserve(document.size());
    for (const auto& [key, member] : document.items()) {
      // No key comes twice in a parsed document.
      members.items.emplace_back(value::outside(key), value_of(member));
    }
    return value::dict(std::move(members));
  }
  default: return none{};
  }
}

} // namespace ovir::templates
