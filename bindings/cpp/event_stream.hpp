#pragma once

#include "apps/console.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ovir::bindings {

/// An endpoint's JSON object. `malformed` for all else.
[[nodiscard]] result<apps::json> object_from(std::string_view text);
/// A member that is an object, or an empty object.
[[nodiscard]] apps::json object_in(const apps::json& from, std::string_view key);
/// A member that is a text, or an empty text.
[[nodiscard]] std::string text_in(const apps::json& from, std::string_view key);
/// The first element of `choices`, or an empty object.
[[nodiscard]] apps::json first_choice(const apps::json& document);

/// Events of an answer (docs/formats/http.md), as their bytes come. Bytes of an event that broke
/// off count for nothing.
class event_stream {
public:
  struct event {
    std::string id; ///< empty: none
    std::string data;
  };

  /// `over_limit` where a line is longer than limits::cluster_line_bytes_max.
  [[nodiscard]] result<void> add(std::string_view bytes);
  /// The next event that is whole.
  [[nodiscard]] std::optional<event> next();

private:
  std::string bytes_;
  std::size_t at_{0}; ///< the first byte that was not looked at
  std::string id_;
};

} // namespace ovir::bindings
