#pragma once

#include "actors/link/network.hpp"
#include "actors/protocol/wire.hpp"
#include "messages/request/request.hpp"
#include "messages/wire/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace ovir::swarm {

/// Hears what nodes send and what they get, and reports what breaks one of these rules:
/// - A lead goes on in an epoch only when it has been told by each stage on another node that it
///   has opened in this very epoch.
/// - A stage sends on, and says that it holds, in an epoch no more than what it held when it opened
///   and what another node sent to it in this very epoch.
class epoch_rules {
public:
  /// `id_of` a machine.
  epoch_rules(std::function<void(std::string)> violate,
              std::function<node_id(std::size_t machine)> id_of)
      : violate_(std::move(violate)), id_of_(std::move(id_of)) {}

  void sent(std::size_t from, std::uint64_t life, std::size_t to, actors::message_kind what,
            std::uint32_t target, const std::vector<std::byte>& bytes);
  /// To the node of machine `to`, which reads it now or later.
  void arrived(std::size_t from, std::size_t to, actors::message_kind what, std::uint32_t target,
               const std::vector<std::byte>& bytes);

private:
  using stage_name = std::pair<std::size_t, std::uint32_t>; ///< a machine and its first layer
  struct opening {
    epoch driver{};
    std::set<stage_name> asked;
    std::set<stage_name> opened;
  };
  /// What a lead asked a stage to open.
  struct proposal {
    std::size_t lead{0};       ///< a machine: the first that asked for this epoch
    bool fed_from_afar{false}; ///< frames come from another node
  };
  struct session {
    epoch driver{}; ///< in which the stage said that it had opened
    bool fed_from_afar{false};
    bool opened{false};
    position holds{0};                 ///< at most
    std::map<epoch, proposal> asked{}; ///< some are refused
  };
  using session_name = std::tuple<std::size_t, request_id, std::uint32_t>;

  void sent_open(std::size_t from, std::uint64_t life, std::size_t to,
                 const actors::wire_message& m);
  void sent_order(std::size_t from, std::uint64_t life, request_id request, epoch driver);
  void sent_news(std::size_t from, const actors::wire_message& m);
  /// A lead there, whose orders to its own node are not heard here.
  [[nodiscard]] bool drives(std::size_t machine, request_id request, epoch driver) const;
  void sent_frame(std::size_t from, const frame_header& h);
  void told(std::size_t from, session& s, request_id request, position end);

  std::function<void(std::string)> violate_;
  std::function<node_id(std::size_t machine)> id_of_;
  std::map<std::tuple<std::size_t, std::uint64_t, request_id>, opening> leads_;
  std::map<session_name, session> sessions_;
};

} // namespace ovir::swarm
