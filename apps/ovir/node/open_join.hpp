#pragma once

#include "actors/members/gossip_format.hpp"
#include "messages/digest.hpp"
#include "messages/invitation.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// `ovir up --join HOST:PORT`: what a machine asks a member of an open cluster before it joins.
namespace ovir::apps {

/// What a node of an open cluster needs to know of it. Believed is who answers at the address that
/// a person named: every later word is checked by the swarm's key.
struct introduction {
  std::string cluster;
  node_id swarm; ///< whose signature gives leave
  digest model;
  node_id keeper; ///< of the ledger; empty: there is none
};

/// What one member said of itself and of others. A core.
class introduction_words {
public:
  /// Its hello. A token counts where it is this member's, bound to the connection and genuine.
  void take_hello(const node_id& node, const std::string& cluster, std::span<const std::byte> token,
                  bool bound, std::uint64_t unix_now);
  /// Of its gossip; those with a false signature do not count. At most
  /// limits::introduction_adverts_max are kept.
  void take_adverts(std::span<const actors::signed_update> updates);

  /// The member has leave, and its words say which model the cluster serves.
  [[nodiscard]] bool enough() const { return leave_ && model().has_value(); }
  /// ... and who keeps its ledger.
  [[nodiscard]] bool complete() const { return enough() && !keeper().empty(); }
  [[nodiscard]] introduction taken() const; ///< Precondition: `enough`
  /// Other members to ask where this one has no leave itself.
  [[nodiscard]] std::vector<std::string> others() const;
  [[nodiscard]] bool has_leave() const noexcept { return leave_.has_value(); }

private:
  /// What most members hold.
  [[nodiscard]] std::optional<digest> model() const;
  [[nodiscard]] node_id keeper() const;

  node_id node_;
  std::string cluster_;
  std::optional<shown_token> leave_;
  std::map<node_id, actors::node_advert> adverts_;
};

/// Whether it is addresses alone, "HOST:PORT" or several with commas, and no line or invitation.
[[nodiscard]] bool is_address_list(std::string_view text);

/// Asks these members, one after the other, and those that they name, until one that has leave says
/// enough. `key`: the node's that is to join. `not_found` where none does, with what the last said.
[[nodiscard]] result<introduction> introduce(const std::vector<std::string>& members,
                                             const secret_key& key, std::uint64_t unix_now,
                                             const std::function<bool()>& stop);

} // namespace ovir::apps
