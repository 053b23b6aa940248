#pragma once

#include "gateway/http/http_exchange.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Whether a web page of elsewhere may have made a request. Such a page can have its visitor's
/// browser ask a listener of the visitor's own machine, by a name that is made to lead there. The
/// browser tells that name in `Host` and the page in `Origin`. Both are looked at here, for every
/// path and every listener.
namespace ovir::gateway {

/// By which names clients may call a listener.
struct host_rule {
  /// Requests prove themselves by a key, which no page of elsewhere has: any name will do.
  bool keys_needed{false};
  /// Names beside addresses and "localhost", without ports.
  std::vector<std::string> names{};
};

/// HOST of "HOST", "HOST:PORT" and "[HOST]:PORT", without brackets; nothing where it is none of
/// them.
[[nodiscard]] std::optional<std::string_view> host_of(std::string_view host_and_port);
/// A host that is "localhost" or an address of the machine itself: 127.0.0.0/8, ::1, and the former
/// written as IPv6. Addresses are parsed; a name that looks like one is none.
[[nodiscard]] bool is_this_machine(std::string_view host);
/// Whether a `Host` names the listener and is no name that another owner can lead here.
[[nodiscard]] bool is_own_name(const host_rule& rule, std::string_view host_field);
/// Whether a request says to come from a page of this very listener.
[[nodiscard]] bool is_own_page(const host_rule& rule, const http_request& head);
/// Why a request may not be answered, whatever its path; nothing where it may.
[[nodiscard]] std::optional<std::string_view> refuse_caller(const host_rule& rule,
                                                            const http_request& head);

} // namespace ovir::gateway
