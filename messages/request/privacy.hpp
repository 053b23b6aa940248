#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/limits/privacy.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

/// Which nodes are sent what a request says (docs/PRIVACY.md, docs/adr/0050-ends.md).
namespace ovir {

enum class privacy_mode : std::uint8_t {
  none = 0,
  ends = 1, ///< tokens and logits: none but the asker's own node and those that it names
};

/// The mode that an option names: none or ends. Else `invalid_argument`.
[[nodiscard]] result<privacy_mode> privacy_from(std::string_view name);
[[nodiscard]] std::string_view to_string(privacy_mode mode) noexcept;
/// The one under which fewer nodes see a request.
[[nodiscard]] constexpr privacy_mode stricter(privacy_mode a, privacy_mode b) noexcept {
  return a == privacy_mode::ends ? a : b;
}

/// What `privacy_mode::ends` means for one request, for all who drive it.
struct ends_rule {
  std::vector<node_id> nodes; ///< that may compute the ends: 1 to limits::ends_nodes_max, ascending
  std::uint32_t first{limits::ends_first_usual}; ///< layers behind the embedding, at least 1
  std::uint32_t last{limits::ends_last_usual};   ///< layers before the head, at least 1
  /// Known to these nodes and in the receipt, to no other. Not zero.
  digest salt{};

  friend bool operator==(const ends_rule&, const ends_rule&) = default;
};

/// `malformed` or `over_limit`.
[[nodiscard]] result<void> check(const ends_rule& rule);
/// Whether `node` is one of the rule's.
[[nodiscard]] bool is_named(const ends_rule& rule, const node_id& node) noexcept;

/// The salt of a request at the node that has this secret: other requests' do not follow from it.
/// The same again after a restart.
[[nodiscard]] digest request_salt(const digest& secret, request_id request);
/// The content of a request as other nodes and the ledger are told it (docs/formats/receipt.md).
[[nodiscard]] digest salted_content(const digest& salt, const digest& content);
/// What names of the request's windows are made with, in place of their owner's salt.
[[nodiscard]] digest names_salt(const digest& salt);

} // namespace ovir
