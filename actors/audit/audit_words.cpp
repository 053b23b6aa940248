#include "actors/audit/audit_words.hpp"

#include <fmt/format.h>

namespace ovir::actors {

std::string place_text(const audit_place& place) {
  switch (place.part) {
  case audit_part::unit: return fmt::format("layer {} over window {}", place.layer, place.window);
  case audit_part::kv:
    return fmt::format("K and V of layer {} over window {}", place.layer, place.window);
  case audit_part::draw: return fmt::format("the logits of position {}", place.at);
  case audit_part::token: return fmt::format("the token behind position {}", place.at);
  }
  return {};
}

std::string conviction_text(const conviction& c) {
  const auto what = [&]() -> std::string_view {
    switch (c.kind) {
    case conviction_kind::replay: return "stated something else than two hosts compute:";
    case conviction_kind::equivocation: return "contradicted itself about";
    case conviction_kind::parts: return "computed its part of a group wrongly, of";
    }
    return {};
  };
  return fmt::format("{} {} {}", short_name(c.guilty), what(), place_text(c.place));
}

} // namespace ovir::actors
