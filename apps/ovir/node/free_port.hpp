#pragma once

#include "messages/result.hpp"

#include <cstdint>
#include <string>

namespace ovir::apps {

/// The address of this machine that others in its network reach, as the system would choose it to
/// send from; 127.0.0.1 where there is no network. Sends nothing.
[[nodiscard]] std::string address_of_machine();
/// `host`, an IPv4 address of this machine, with the first port from `first` on that no program
/// listens on; it may be taken by another one later. `busy` where the next 256 are all taken.
[[nodiscard]] result<std::string> free_place(const std::string& host, std::uint16_t first);
/// The machine's name, cut to limits::node_name_bytes_max.
[[nodiscard]] std::string machine_name();

} // namespace ovir::apps
