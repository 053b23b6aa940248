#include "actors/reach/announcement.hpp"

#include "compute/base/printable.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/lan.hpp"

#include <numeric>
#include <optional>

namespace ovir::actors {

namespace {

constexpr std::string_view announcement_version = "1";

bool is_cluster_name(std::string_view text) {
  return !text.empty() && text.size() <= limits::cluster_name_bytes_max &&
         compute::printable(text, limits::cluster_name_bytes_max) == text;
}

/// The value of the string "KEY=VALUE" with this key. None where there are two: libraries do not
/// agree on which string comes first.
std::optional<std::string_view> told_as(std::string_view key, std::span<const std::string> txt) {
  std::optional<std::string_view> value;
  for (const std::string& one : txt) {
    if (one.size() > key.size() && one[key.size()] == '=' && one.starts_with(key)) {
      if (value) {
        return std::nullopt;
      }
      value = std::string_view{one}.substr(key.size() + 1);
    }
  }
  return value;
}

} // namespace

std::vector<std::string> to_txt(const announcement& told) {
  OVIR_CHECK(is_cluster_name(told.cluster) && !told.key.empty());
  return {"v=" + std::string{announcement_version}, "cluster=" + told.cluster,
          "key=" + to_hex(told.key), told.asks ? "asks=1" : "asks=0"};
}

result<announcement> announcement_from(std::span<const std::string> txt) {
  const std::size_t bytes =
      std::accumulate(txt.begin(), txt.end(), std::size_t{0},
                      [](std::size_t sum, const std::string& one) { return sum + one.size(); });
  if (txt.size() > limits::lan_txt_strings_max || bytes > limits::lan_txt_bytes_max) {
    return fail(errc::over_limit, "{} strings of {} bytes are more than {} of {}", txt.size(),
                bytes, limits::lan_txt_strings_max, limits::lan_txt_bytes_max);
  }
  const auto version = told_as("v", txt);
  if (!version) {
    return fail(errc::malformed, "no version is told, or two are");
  }
  if (*version != announcement_version) {
    return fail(errc::unsupported, "version '{}' is told and {} is known",
                compute::printable(*version, 16), announcement_version);
  }
  announcement told;
  const auto cluster = told_as("cluster", txt);
  if (!cluster || !is_cluster_name(*cluster)) {
    return fail(errc::malformed, "the cluster's name is not 1 to {} printable bytes",
                limits::cluster_name_bytes_max);
  }
  told.cluster = *cluster;
  const auto key = node_id_from_hex(told_as("key", txt).value_or(""));
  if (!key || key->empty()) {
    return fail(errc::malformed, "the cluster's key is not 64 hexadecimal digits");
  }
  told.key = *key;
  const auto asks = told_as("asks", txt);
  if (asks != "0" && asks != "1") {
    return fail(errc::malformed, "whether an invitation is needed is neither 0 nor 1");
  }
  told.asks = asks == "1";
  return told;
}

} // namespace ovir::actors
