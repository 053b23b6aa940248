#include "apps/ovir/shell/explain_cache.hpp"

#include "compute/base/printable.hpp"

#include <fmt/format.h>

namespace ovir::apps {

namespace {

using json = nlohmann::json;

std::uint64_t number(const json& from, const char* key) {
  return from.contains(key) && from[key].is_number_integer() && from[key] >= 0
             ? from[key].get<std::uint64_t>()
             : 0;
}

std::string word(const json& from, const char* key) {
  return from.contains(key) && from[key].is_string()
             ? compute::printable(from[key].get_ref<const std::string&>())
             : std::string{};
}

std::string why_no_more(const json& stage) {
  const std::string end = word(stage, "end");
  if (end == "missing") {
    return "; the next one is not kept there";
  }
  if (end == "damaged") {
    return "; the next one is damaged, and computed again";
  }
  if (end == "rechecked") {
    return "; the next one came from another node, and is computed to see whether it is right";
  }
  if (end == "unanswered") {
    return "; the cache did not answer";
  }
  return {};
}

double ms(const json& from, const char* key) {
  return static_cast<double>(number(from, key)) / 1e3;
}

std::string predicted(const json& others) {
  return number(others, "compute_us") == 0
             ? fmt::format("predicted {:.1f} ms to fetch, and nothing known of computing",
                           ms(others, "fetch_us"))
             : fmt::format("predicted {:.1f} ms to fetch and {:.1f} ms to compute",
                           ms(others, "fetch_us"), ms(others, "compute_us"));
}

std::string what_of_others(const json& others) {
  const std::string choice = word(others, "choice");
  if (choice == "unclaimed") {
    return "; no other node claims it";
  }
  const std::string claimed =
      fmt::format("; others claim {} windows ({} blocks that lack here), {}",
                  number(others, "windows"), number(others, "blocks"), predicted(others));
  if (choice == "fetched") {
    return fmt::format("{}: fetched, {} windows came in {:.1f} ms", claimed,
                       number(others, "windows_got"), ms(others, "took_us"));
  }
  if (choice == "computed") {
    return claimed + ": computed";
  }
  return choice == "busy" ? claimed + ": computed, as too many fetches were under way"
                          : std::string{};
}

} // namespace

std::string explained_text(const json& explained) {
  std::string out;
  if (!explained.is_array()) {
    return out;
  }
  for (const json& stage : explained) {
    const std::string name = word(stage, "name");
    out += fmt::format("cache      layers {}-{}{}{}: ", number(stage, "first_layer"),
                       number(stage, "last_layer"), name.empty() ? "" : " on ", name);
    if (!stage.contains("end")) {
      out += "told nothing\n";
      continue;
    }
    out += fmt::format("{} of {} windows found; {} units from memory, {} from disk, {} from others",
                       number(stage, "found"), number(stage, "wanted"), number(stage, "memory"),
                       number(stage, "disk"), number(stage, "peer"));
    out += why_no_more(stage);
    out += what_of_others(stage.value("others", json::object())) + "\n";
  }
  return out;
}

} // namespace ovir::apps
