#pragma once

#include "messages/digest.hpp"
#include "messages/request/budget.hpp"
#include "messages/request/request.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Keys of HTTP clients (docs/formats/api-keys.md). A key is 256 random bits that its owner sees
/// once; what is kept is a keyed hash, whose key is in a file of its own.
namespace ovir::gateway {

using hash_key = std::array<std::byte, 32>;

struct api_key {
  std::string id;   ///< 16 hexadecimal digits, for logs and orders
  std::string name; ///< for people
  bool may_infer{true};
  bool may_read_metrics{false};
  bool may_look{false};                     ///< at the cluster: the role reader
  reveal_when reveal{reveal_when::at_once}; ///< of all its requests, whatever they ask for
  privacy_mode privacy{privacy_mode::none}; ///< likewise
  std::array<std::uint8_t, 32> hash{};
  std::uint64_t created{0};             ///< Unix seconds
  std::uint64_t revoked{0};             ///< likewise; 0: it is good
  std::uint64_t requests_per_minute{0}; ///< 0: no limit, as for the next two
  std::uint64_t tokens_per_day{0};      ///< prompts and answers, by the day of UTC
  std::uint64_t concurrent{0};          ///< requests under way
  /// That pays for its requests, instead of this node; zero: the one that the ledger has for it.
  std::optional<digest> voucher{};

  friend bool operator==(const api_key&, const api_key&) = default;
};

/// What the ledger calls a key: H(keyed hash), the same at every gateway that has a copy of its
/// file and its secret.
[[nodiscard]] digest name_in_ledger(const api_key& key);
/// What is to pay for its requests; none: this node.
[[nodiscard]] std::optional<budget_use> budget_of(const api_key& key);
/// "ledger", or a voucher's 64 hexadecimal digits: `api_key::voucher`. `invalid_argument`.
[[nodiscard]] result<digest> voucher_from(std::string_view text);

/// Every key a gateway knows. A value.
class api_key_table {
public:
  /// Reads what `text` wrote. `malformed` or `over_limit`, naming the entry.
  [[nodiscard]] static result<api_key_table> parse(std::string_view text);
  [[nodiscard]] std::string text() const;

  [[nodiscard]] const std::vector<api_key>& keys() const noexcept { return keys_; }

  /// Adds a key for 32 random bytes and returns its text, which nobody can get again. `over_limit`
  /// beyond limits::api_keys_max. `invalid_argument` for a name that is taken or not printable.
  [[nodiscard]] result<std::string> add(api_key key, std::span<const std::byte> secret,
                                        const hash_key& with);
  /// By id or name. `not_found`. One that is revoked already stays as it is.
  [[nodiscard]] result<void> revoke(std::string_view which, std::uint64_t now);

  /// The good key whose text this is; null. Takes the same time whichever it is, and whether there
  /// is one.
  [[nodiscard]] const api_key* find(std::string_view presented, const hash_key& with) const;

private:
  std::vector<api_key> keys_;
};

} // namespace ovir::gateway
