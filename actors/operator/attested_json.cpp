#include "actors/operator/attested_json.hpp"

#include <string>

namespace ovir::actors {

namespace {

nlohmann::json said_or_null(const std::string& text) {
  return text.empty() ? nlohmann::json(nullptr) : nlohmann::json(text);
}

} // namespace

nlohmann::json attested_json(const std::vector<attestation>& shown) {
  nlohmann::json list = nlohmann::json::array();
  for (const attestation& one : shown) {
    list.push_back({{"attestor", to_hex(one.attestor)},
                    {"operator", said_or_null(one.properties.operated_by)},
                    {"region", said_or_null(one.properties.region)},
                    {"confidential", said_or_null(one.properties.confidential)},
                    {"expires_unix", one.expires_unix}});
  }
  return list;
}

} // namespace ovir::actors
