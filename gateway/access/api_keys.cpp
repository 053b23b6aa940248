#include "gateway/access/api_keys.hpp"

#include "gateway/http/bounded_json.hpp"
#include "gateway/http/parameters.hpp"
#include "messages/check.hpp"
#include "messages/limits/gateway.hpp"

#include <sodium.h>

#include <algorithm>

namespace ovir::gateway {

namespace {

constexpr std::string_view prefix = "sk-ovir-";
constexpr std::size_t secret_size = 32;
constexpr std::size_t id_digits = 16;
constexpr std::uint64_t version = 1;
constexpr std::uint64_t time_max = 1ULL << 48U;
constexpr int base64 = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

using hash = std::array<std::uint8_t, 32>;

hash hash_of(std::span<const std::byte> secret, const hash_key& with) {
  hash out{};
  const int failed = crypto_generichash(
      out.data(), out.size(), reinterpret_cast<const unsigned char*>(secret.data()), secret.size(),
      reinterpret_cast<const unsigned char*>(with.data()), with.size());
  OVIR_CHECK(failed == 0);
  return out;
}

std::string hex_of(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += fmt::format("{:02x}", byte);
  }
  return text;
}

bool read_hex(std::string_view text, std::span<std::uint8_t> out) {
  std::size_t size = 0;
  const char* end = nullptr;
  return text.size() == 2 * out.size() && text.find_first_not_of("0123456789abcdef") == text.npos &&
         sodium_hex2bin(out.data(), out.size(), text.data(), text.size(), nullptr, &size, &end) ==
             0 &&
         size == out.size();
}

constexpr std::string_view by_name = "ledger"; ///< the voucher that the ledger has for the key
constexpr std::string_view name_domain = "ovir/api-key/v1/name";

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= limits::api_key_name_bytes_max &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 127; });
}

json json_of(const api_key& k) {
  json roles = json::array();
  if (k.may_infer) {
    roles.push_back("infer");
  }
  if (k.may_read_metrics) {
    roles.push_back("metrics");
  }
  if (k.may_look) {
    roles.push_back("reader");
  }
  json document{{"id", k.id},
                {"name", k.name},
                {"roles", std::move(roles)},
                {"hash", hex_of(k.hash)},
                {"created", k.created},
                {"revoked", k.revoked},
                {"requests_per_minute", k.requests_per_minute},
                {"tokens_per_day", k.tokens_per_day},
                {"concurrent", k.concurrent},
                {"reveal", to_string(k.reveal)}};
  if (k.privacy != privacy_mode::none) {
    document["privacy"] = to_string(k.privacy);
  }
  if (k.voucher) {
    document["voucher"] = *k.voucher == digest{} ? std::string{by_name} : to_hex(*k.voucher);
  }
  return document;
}

result<api_key> key_from(const json& value, std::size_t i) {
  const auto wrong = [i](std::string_view what) {
    return fail(errc::malformed, "keys[{}]: {}", i, what);
  };
  if (!value.is_object()) {
    return wrong("must be an object");
  }
  parameters in{value, fmt::format("keys[{}].", i)};
  api_key k;
  k.id = in.text("id", id_digits);
  k.name = in.text("name", limits::api_key_name_bytes_max);
  const std::string digits = in.text("hash", 2 * sizeof(hash));
  k.created = in.whole("created", 0, time_max, 0);
  k.revoked = in.whole("revoked", 0, time_max, 0);
  k.requests_per_minute = in.whole("requests_per_minute", 0, limits::api_rate_max, 0);
  k.tokens_per_day = in.whole("tokens_per_day", 0, limits::api_rate_max, 0);
  k.concurrent = in.whole("concurrent", 0, limits::api_rate_max, 0);
  const std::vector<std::string> roles = in.texts("roles", 3);
  const auto reveal = reveal_from(in.text("reveal", limits::api_name_bytes_max, "at_once"));
  const auto privacy = privacy_from(in.text("privacy", limits::api_name_bytes_max, "none"));
  const std::string voucher = in.text("voucher", 2 * digest::size, "");
  in.done();
  if (in.failure()) {
    return fail(errc::malformed, "{}", in.failure()->message);
  }
  if (!voucher.empty()) {
    const auto named = voucher_from(voucher);
    if (!named) {
      return wrong(named.error().message);
    }
    k.voucher = *named;
  }
  if (!reveal) {
    return wrong("'reveal' must be at_once or after");
  }
  k.reveal = *reveal;
  if (!privacy) {
    return wrong("'privacy' must be none or ends");
  }
  k.privacy = *privacy;
  const auto has = [&](std::string_view role) {
    return std::find(roles.begin(), roles.end(), role) != roles.end();
  };
  k.may_infer = has("infer");
  k.may_read_metrics = has("metrics");
  k.may_look = has("reader");
  std::array<std::uint8_t, id_digits / 2> id{};
  if (!read_hex(k.id, id) || !read_hex(digits, k.hash)) {
    return wrong("'id' and 'hash' must be 16 and 64 hexadecimal digits");
  }
  if (!is_name(k.name)) {
    return wrong("'name' must be printable ASCII without spaces");
  }
  if (roles.size() !=
          std::size_t{k.may_infer} + std::size_t{k.may_read_metrics} + std::size_t{k.may_look} ||
      !value["roles"].is_array()) {
    return wrong("'roles' must be a list of infer, metrics and reader");
  }
  return k;
}

} // namespace

digest name_in_ledger(const api_key& key) {
  return ovir::hash(name_domain, std::as_bytes(std::span{key.hash}));
}

std::optional<budget_use> budget_of(const api_key& key) {
  return key.voucher ? std::optional{budget_use{name_in_ledger(key), *key.voucher}} : std::nullopt;
}

result<digest> voucher_from(std::string_view text) {
  digest named;
  if (text != by_name && (!read_hex(text, named.bytes) || named == digest{})) {
    return fail(errc::invalid_argument, "a voucher is 'ledger' or its 64 hexadecimal digits");
  }
  return named;
}

result<api_key_table> api_key_table::parse(std::string_view text) {
  if (text.size() > limits::api_keys_file_bytes_max) {
    return fail(errc::over_limit, "a file of keys has at most {} bytes, not {}",
                limits::api_keys_file_bytes_max, text.size());
  }
  OVIR_ASSIGN(const json document, parse_object(text));
  if (document.size() != 2 || document.value("version", json{}) != version ||
      !document.contains("keys") || !document["keys"].is_array()) {
    return fail(errc::malformed,
                "a file of keys is an object of 'version', which is {}, and 'keys'", version);
  }
  const json& list = document["keys"];
  if (list.size() > limits::api_keys_max) {
    return fail(errc::over_limit, "there are {} keys, more than {}", list.size(),
                limits::api_keys_max);
  }
  api_key_table table;
  for (std::size_t i = 0; i < list.size(); ++i) {
    OVIR_ASSIGN(api_key key, key_from(list[i], i));
    for (const api_key& other : table.keys_) {
      if (other.id == key.id || other.name == key.name) {
        return fail(errc::malformed, "keys[{}] has the id or the name of one before", i);
      }
    }
    table.keys_.push_back(std::move(key));
  }
  return table;
}

std::string api_key_table::text() const {
  json list = json::array();
  for (const api_key& key : keys_) {
    list.push_back(json_of(key));
  }
  return json{{"version", version}, {"keys", std::move(list)}}.dump(2) + "\n";
}

result<std::string> api_key_table::add(api_key key, std::span<const std::byte> secret,
                                       const hash_key& with) {
  OVIR_CHECK(secret.size() == secret_size, secret.size());
  if (keys_.size() == limits::api_keys_max) {
    return fail(errc::over_limit, "there are {} keys already, as many as there may be",
                keys_.size());
  }
  if (!is_name(key.name)) {
    return fail(errc::invalid_argument,
                "the name of a key is 1 to {} printable characters of ASCII without spaces",
                limits::api_key_name_bytes_max);
  }
  key.hash = hash_of(secret, with);
  key.id = hex_of(std::span{key.hash}.first(id_digits / 2));
  for (const api_key& other : keys_) {
    if (other.name == key.name || other.id == key.id) {
      return fail(errc::invalid_argument, "there is a key '{}' already; choose another name",
                  key.name);
    }
  }
  std::array<char, sodium_base64_ENCODED_LEN(secret_size, base64)> text{};
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(secret.data()),
                    secret.size(), base64);
  std::string shown = std::string{prefix} + text.data();
  sodium_memzero(text.data(), text.size());
  keys_.push_back(std::move(key));
  return shown;
}

result<void> api_key_table::revoke(std::string_view which, std::uint64_t now) {
  const auto found = std::find_if(keys_.begin(), keys_.end(), [&](const api_key& k) {
    return k.id == which || k.name == which;
  });
  if (found == keys_.end()) {
    return fail(errc::not_found, "there is no key '{}'", which);
  }
  found->revoked = found->revoked == 0 ? now : found->revoked;
  return {};
}

const api_key* api_key_table::find(std::string_view presented, const hash_key& with) const {
  std::array<std::byte, secret_size> secret{};
  std::size_t size = 0;
  const char* end = nullptr;
  const bool form =
      presented.starts_with(prefix) &&
      sodium_base642bin(reinterpret_cast<unsigned char*>(secret.data()), secret.size(),
                        presented.data() + prefix.size(), presented.size() - prefix.size(), nullptr,
                        &size, &end, base64) == 0 &&
      size == secret.size() && end == presented.data() + presented.size();
  const hash wanted = hash_of(secret, with);
  sodium_memzero(secret.data(), secret.size());
  const api_key* found = nullptr;
  for (const api_key& key : keys_) { // all of them, whatever was found
    const bool equal = sodium_memcmp(wanted.data(), key.hash.data(), wanted.size()) == 0;
    found = equal && form && key.revoked == 0 ? &key : found;
  }
  return found;
}

} // namespace ovir::gateway
