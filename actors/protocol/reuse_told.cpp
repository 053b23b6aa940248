#include "actors/protocol/reuse_told.hpp"

namespace ovir::actors {

std::string_view to_string(reuse_end end) noexcept {
  switch (end) {
  case reuse_end::all: return "all";
  case reuse_end::missing: return "missing";
  case reuse_end::damaged: return "damaged";
  case reuse_end::rechecked: return "rechecked";
  case reuse_end::unanswered: return "unanswered";
  }
  return {};
}

std::string_view to_string(fetch_choice choice) noexcept {
  switch (choice) {
  case fetch_choice::not_asked: return "not_asked";
  case fetch_choice::nobody: return "unclaimed";
  case fetch_choice::fetched: return "fetched";
  case fetch_choice::computed: return "computed";
  case fetch_choice::busy: return "busy";
  }
  return {};
}

} // namespace ovir::actors
