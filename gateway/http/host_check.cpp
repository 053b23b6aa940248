#include "gateway/http/host_check.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>

namespace ovir::gateway {

namespace {

constexpr std::size_t port_digits_max = 5;

bool equal_names(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

bool is_port(std::string_view text) {
  return text.size() <= port_digits_max && text.find_first_not_of("0123456789") == text.npos;
}

/// An address written out, which no one can make lead elsewhere.
struct literal {
  bool valid{false};
  bool loopback{false};
};

literal literal_of(std::string_view host) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (host.empty() || host.size() >= text.size()) {
    return {};
  }
  std::copy(host.begin(), host.end(), text.begin());
  in_addr four{};
  if (::inet_pton(AF_INET, text.data(), &four) == 1) {
    return {true, ntohl(four.s_addr) >> 24U == IN_LOOPBACKNET};
  }
  in6_addr six{};
  if (::inet_pton(AF_INET6, text.data(), &six) == 1) {
    constexpr std::size_t four_at = 12; // of an IPv4 address written as IPv6
    return {true, IN6_IS_ADDR_LOOPBACK(&six) != 0 ||
                      (IN6_IS_ADDR_V4MAPPED(&six) != 0 && six.s6_addr[four_at] == IN_LOOPBACKNET)};
  }
  return {};
}

} // namespace

std::optional<std::string_view> host_of(std::string_view text) {
  std::string_view host = text;
  std::string_view rest;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == text.npos) {
      return std::nullopt;
    }
    host = text.substr(1, end - 1);
    rest = text.substr(end + 1);
    if (host.find(':') == host.npos) { // brackets are for IPv6
      return std::nullopt;
    }
  } else {
    host = text.substr(0, text.find(':'));
    rest = text.substr(host.size());
  }
  if (host.empty() || !(rest.empty() || (rest.front() == ':' && is_port(rest.substr(1))))) {
    return std::nullopt;
  }
  return host;
}

bool is_this_machine(std::string_view host) {
  return equal_names(host, "localhost") || literal_of(host).loopback;
}

bool is_own_name(const host_rule& rule, std::string_view host_field) {
  const auto host = host_of(host_field);
  return rule.keys_needed ||
         (host && (literal_of(*host).valid || equal_names(*host, "localhost") ||
                   std::any_of(rule.names.begin(), rule.names.end(),
                               [&](const std::string& name) { return equal_names(*host, name); })));
}

bool is_own_page(const host_rule& rule, const http_request& head) {
  const std::string_view origin = head.field("origin");
  const std::string_view host = head.field("host");
  return !host.empty() && is_own_name(rule, host) &&
         (origin == fmt::format("http://{}", host) || origin == fmt::format("https://{}", host));
}

std::optional<std::string_view> refuse_caller(const host_rule& rule, const http_request& head) {
  if (!is_own_name(rule, head.field("host"))) {
    return "without API keys this node is asked by its address, as localhost, or by a name that "
           "'hosts' of its configuration lists; 'Host' is none of them";
  }
  if (!head.field("origin").empty() && !is_own_page(rule, head)) {
    return "web pages of other origins may not call this endpoint";
  }
  return std::nullopt;
}

} // namespace ovir::gateway
