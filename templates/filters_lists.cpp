#include "messages/limits/templates.hpp"
#include "templates/filters.hpp"
#include "templates/members.hpp"
#include "templates/operators.hpp"
#include "templates/tests_of_values.hpp"
#include "templates/text_methods.hpp"

#include <algorithm>

namespace ovir::templates {

value filter_join(rendering& r, const value& v, const bound& with) {
  const marked_text between = with[0].is_undefined() ? marked_text{} : r.text_of(with[0]);
  marked_text out;
  bool first = true;
  for (const value& one : r.items_of(v)) {
    if (!first) {
      out.append(between);
    }
    first = false;
    out.append(r.text_of(with[1].is_undefined() ? one : path_of(r, one, with[1])));
    if (!r.charge(0, between.size()) || out.size() > limits::template_output_max) {
      break;
    }
  }
  return r.failed() ? value{} : r.made(std::move(out));
}

namespace {

/// What texts are compared by where cases do not count.
value folded(const value& v) {
  const marked_text* const text = v.as_text();
  return text == nullptr ? v : value{text->each(ascii_lower)};
}

value filter_first(rendering& r, const value& v, const bound&) {
  const std::vector<value> items = r.items_of(v);
  return items.empty() ? value::missing("the first of nothing") : items.front();
}

value filter_last(rendering& r, const value& v, const bound&) {
  const std::vector<value> items = r.items_of(v);
  return items.empty() ? value::missing("the last of nothing") : items.back();
}

value filter_list(rendering& r, const value& v, const bound&) { return r.made_list(r.items_of(v)); }

value filter_reverse(rendering& r, const value& v, const bound&) {
  std::vector<value> items = r.items_of(v);
  std::reverse(items.begin(), items.end());
  if (v.as_text() == nullptr) {
    return r.made_list(std::move(items));
  }
  marked_text out;
  for (const value& one : items) {
    out.append(*one.as_text());
  }
  return r.made(std::move(out));
}

value filter_sort(rendering& r, const value& v, const bound& with) {
  std::vector<std::pair<value, value>> keyed;
  const bool exact = with[1].truth();
  for (const value& one : r.items_of(v)) {
    const value key = with[2].is_undefined() ? one : path_of(r, one, with[2]);
    keyed.emplace_back(exact ? key : folded(key), one);
  }
  // A comparison of two values costs at most what they weigh; texts without order end it.
  const std::uint64_t rounds = 64 - static_cast<std::uint64_t>(__builtin_clzll(keyed.size() | 1U));
  if (r.failed() || !r.charge((keyed.size() + v.weight() / 64) * rounds)) {
    return {};
  }
  bool ordered = true;
  const bool backwards = with[0].truth();
  for (const auto& [key, one] : keyed) {
    ordered = ordered && compare(keyed.front().first, key).has_value();
  }
  if (!ordered) {
    return r.wrong(errc::malformed, "'sort' meets values that have no order");
  }
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    const int order = compare(a.first, b.first).value_or(0);
    return backwards ? order > 0 : order < 0;
  });
  std::vector<value> items;
  items.reserve(keyed.size());
  for (auto& [key, one] : keyed) {
    items.push_back(std::move(one));
  }
  return r.made_list(std::move(items));
}

value filter_unique(rendering& r, const value& v, const bound& with) {
  std::vector<value> keys;
  std::vector<value> items;
  const bool exact = with[0].truth();
  for (const value& one : r.items_of(v)) {
    value key = with[1].is_undefined() ? one : path_of(r, one, with[1]);
    key = exact ? key : folded(key);
    if (!r.charge(1 + keys.size() / 8 + key.weight() / 64)) {
      return {};
    }
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      keys.push_back(std::move(key));
      items.push_back(one);
    }
  }
  return r.made_list(std::move(items));
}

value filter_items(rendering& r, const value& v, const bound&) {
  if (v.is_undefined()) {
    return r.made_list({});
  }
  return v.as_dict() == nullptr ? r.wrong(errc::malformed, "'items' needs a dictionary")
                                : call_dict_method(r, *v.as_dict(), "items", {});
}

value filter_dictsort(rendering& r, const value& v, const bound& with) {
  const marked_text* const by = with[1].as_text();
  const value items = filter_items(r, v, {});
  if (r.failed()) {
    return {};
  }
  bound sorting{};
  sorting[0] = with[2];
  sorting[1] = with[0];
  sorting[2] = value{std::int64_t{by != nullptr && by->bytes() == "value" ? 1 : 0}};
  return filter_sort(r, items, sorting);
}

value extreme(rendering& r, const value& v, const bound& with, int wanted) {
  std::optional<std::pair<value, value>> best;
  const bool exact = with[0].truth();
  for (const value& one : r.items_of(v)) {
    const value found = with[1].is_undefined() ? one : path_of(r, one, with[1]);
    const value key = exact ? found : folded(found);
    if (best && !compare(key, best->first)) {
      return r.wrong(errc::malformed, "values that have no order");
    }
    if (!best || *compare(key, best->first) * wanted > 0) {
      best.emplace(key, one);
    }
    if (!r.charge(1 + key.weight() / 64)) {
      return {};
    }
  }
  return best ? best->second : value::missing("the least or greatest of nothing");
}

value filter_min(rendering& r, const value& v, const bound& with) {
  return extreme(r, v, with, -1);
}

value filter_max(rendering& r, const value& v, const bound& with) { return extreme(r, v, with, 1); }

value filter_sum(rendering& r, const value& v, const bound& with) {
  value sum = with[1].is_undefined() ? value{std::int64_t{0}} : with[1];
  for (const value& one : r.items_of(v)) {
    sum = arithmetic(r, "+", sum, with[0].is_undefined() ? one : path_of(r, one, with[0]));
    if (!r.charge(1)) {
      return {};
    }
  }
  return sum;
}

} // namespace

std::span<const filter_entry> list_filters() {
  static constexpr std::array<filter_entry, 12> entries{{
      {"join", {"d", "attribute"}, filter_join},
      {"first", {}, filter_first},
      {"last", {}, filter_last},
      {"list", {}, filter_list},
      {"reverse", {}, filter_reverse},
      {"sort", {"reverse", "case_sensitive", "attribute"}, filter_sort},
      {"unique", {"case_sensitive", "attribute"}, filter_unique},
      {"items", {}, filter_items},
      {"min", {"case_sensitive", "attribute"}, filter_min},
      {"max", {"case_sensitive", "attribute"}, filter_max},
      {"sum", {"attribute", "start"}, filter_sum},
      {"dictsort", {"case_sensitive", "by", "reverse"}, filter_dictsort},
  }};
  return entries;
}

value map(rendering& r, const call_values& with) {
  const auto named = [&](std::string_view name) -> const value* {
    const auto at = std::find_if(with.named.begin(), with.named.end(),
                                 [&](const auto& v) { return v.first == name; });
    return at == with.named.end() ? nullptr : &at->second;
  };
  const value* const attribute = named("attribute");
  const value* const otherwise = named("default");
  if (attribute == nullptr && (with.plain.size() < 2 || with.plain[1].as_text() == nullptr)) {
    return r.wrong(errc::malformed, "'map' needs a filter or an attribute");
  }
  std::vector<value> out;
  for (const value& one : r.items_of(with.plain.front())) {
    if (!r.charge(1)) {
      return {};
    }
    if (attribute != nullptr) {
      value found = path_of(r, one, *attribute);
      if (found.is_undefined() && otherwise != nullptr) {
        found = *otherwise;
      }
      out.push_back(std::move(found));
    } else {
      call_values each{{one}, with.named};
      each.plain.insert(each.plain.end(), with.plain.begin() + 2, with.plain.end());
      out.push_back(apply_filter(r, with.plain[1].as_text()->bytes(), std::move(each)));
    }
  }
  return r.failed() ? value{} : r.made_list(std::move(out));
}

/// select, reject, selectattr, rejectattr.
value choose(rendering& r, std::string_view name, const call_values& with) {
  const bool by_attribute = name.ends_with("attr");
  const bool wanted = name.starts_with("select");
  const std::size_t test = by_attribute ? 2 : 1;
  if (by_attribute && with.plain.size() < 2) {
    return r.wrong(errc::malformed, fmt::format("'{}' needs an attribute", name));
  }
  if (with.plain.size() > test && with.plain[test].as_text() == nullptr) {
    return r.wrong(errc::malformed, fmt::format("'{}' needs the name of a test", name));
  }
  std::vector<value> out;
  for (const value& one : r.items_of(with.plain.front())) {
    const value looked_at = by_attribute ? path_of(r, one, with.plain[1]) : one;
    bool holds_there = looked_at.truth();
    if (with.plain.size() > test) {
      call_values asked{{looked_at}, with.named};
      asked.plain.insert(asked.plain.end(),
                         with.plain.begin() + static_cast<std::ptrdiff_t>(test) + 1,
                         with.plain.end());
      holds_there = apply_test(r, with.plain[test].as_text()->bytes(), asked);
    }
    if (r.failed() || !r.charge(1)) {
      return {};
    }
    if (holds_there == wanted) {
      out.push_back(one);
    }
  }
  return r.made_list(std::move(out));
}

} // namespace ovir::templates
