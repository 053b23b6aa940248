#include "actors/link/link_format.hpp"
#include "actors/nat/router.hpp"
#include "messages/limits/nat.hpp"

#include <arpa/inet.h>
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <natpmp.h>
#include <poll.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <string>

namespace ovir::actors {

namespace {

constexpr const char* mapping_text = "ovir node";
/// Between two looks at whether the wait is over.
constexpr std::chrono::milliseconds router_look{100};

/// One conversation with the default gateway by NAT-PMP (RFC 6886).
class natpmp_talk {
public:
  /// Waits no longer once `stopped` is true.
  explicit natpmp_talk(const std::atomic<bool>& stopped)
      : stopped_(stopped), open_(::initnatpmp(&state_, 0, 0) == 0) {}
  ~natpmp_talk() {
    if (open_) {
      ::closenatpmp(&state_);
    }
  }
  natpmp_talk(const natpmp_talk&) = delete;
  natpmp_talk& operator=(const natpmp_talk&) = delete;

  result<natpmpresp_t> outside_address() {
    if (!open_ || ::sendpublicaddressrequest(&state_) < 0) {
      return no_router();
    }
    return answer();
  }
  /// `protocol`: NATPMP_PROTOCOL_TCP or NATPMP_PROTOCOL_UDP.
  result<natpmpresp_t> port(int protocol, std::uint16_t inside, std::uint16_t outside,
                            std::uint32_t seconds) {
    if (!open_ || ::sendnewportmappingrequest(&state_, protocol, inside, outside, seconds) < 0) {
      return no_router();
    }
    return answer();
  }

private:
  static error no_router() {
    return {errc::not_found, "there is no default gateway to ask by NAT-PMP"};
  }
  result<natpmpresp_t> answer() {
    const auto end = std::chrono::steady_clock::now() + limits::router_wait;
    while (true) {
      natpmpresp_t response{};
      const int got = ::readnatpmpresponseorretry(&state_, &response);
      if (got == 0) {
        return response;
      }
      if (got != NATPMP_TRYAGAIN) {
        return fail(got == NATPMP_ERR_NOGATEWAYSUPPORT ? errc::not_found : errc::unsupported,
                    "the default gateway does not map ports by NAT-PMP (error {})", got);
      }
      using std::chrono::milliseconds;
      const auto left =
          std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now());
      if (left.count() <= 0 || stopped_.load()) {
        return fail(errc::not_found, "the default gateway does not answer by NAT-PMP");
      }
      timeval next{};
      ::getnatpmprequesttimeout(&state_, &next);
      const milliseconds wait{next.tv_sec * 1'000 + next.tv_usec / 1'000 + 1};
      pollfd one{state_.s, POLLIN, 0};
      ::poll(&one, 1, static_cast<int>(std::min({left, wait, router_look}).count()));
    }
  }

  natpmp_t state_{};
  const std::atomic<bool>& stopped_;
  bool open_;
};

std::string outside_text(const natpmpresp_t& answer) {
  std::array<char, INET_ADDRSTRLEN> text{};
  ::inet_ntop(AF_INET, &answer.pnu.publicaddress.addr, text.data(), text.size());
  return text.data();
}

/// Whether the outer port leads here over UDP, too. One that the router chose otherwise is given
/// back: peers are told one port.
bool map_udp_by_natpmp(natpmp_talk& talk, std::uint16_t port, std::uint16_t outside,
                       std::uint32_t seconds) {
  const auto got = talk.port(NATPMP_PROTOCOL_UDP, port, outside, seconds);
  if (!got || got->type != NATPMP_RESPTYPE_UDPPORTMAPPING) {
    return false;
  }
  if (got->pnu.newportmapping.mappedpublicport == outside) {
    return true;
  }
  (void)talk.port(NATPMP_PROTOCOL_UDP, port, 0, 0);
  return false;
}

result<mapped_port> map_by_natpmp(std::uint16_t port, std::chrono::seconds lease, bool udp_too,
                                  const std::atomic<bool>& stopped) {
  natpmp_talk talk{stopped};
  OVIR_ASSIGN(const natpmpresp_t outside, talk.outside_address());
  if (outside.type != NATPMP_RESPTYPE_PUBLICADDRESS) {
    return fail(errc::unsupported, "the default gateway answers another question by NAT-PMP");
  }
  const auto seconds = static_cast<std::uint32_t>(lease.count());
  OVIR_ASSIGN(const natpmpresp_t got, talk.port(NATPMP_PROTOCOL_TCP, port, port, seconds));
  if (got.type != NATPMP_RESPTYPE_TCPPORTMAPPING || got.pnu.newportmapping.mappedpublicport == 0) {
    return fail(errc::unsupported, "the default gateway maps no port by NAT-PMP");
  }
  const std::uint16_t led = got.pnu.newportmapping.mappedpublicport;
  const bool both = udp_too && map_udp_by_natpmp(talk, port, led, seconds);
  return mapped_port{to_string(host_and_port{outside_text(outside), led}),
                     std::chrono::seconds{got.pnu.newportmapping.lifetime},
                     both ? "NAT-PMP (TCP and UDP)" : "NAT-PMP"};
}

/// A router that was found by UPnP, and where it takes orders.
class upnp_talk {
public:
  upnp_talk() {
    int problem = 0;
    UPNPDev* const found = ::upnpDiscover(static_cast<int>(limits::router_search.count()), nullptr,
                                          nullptr, UPNP_LOCAL_PORT_ANY, 0, 2, &problem);
    if (found != nullptr) {
      kind_ = ::UPNP_GetValidIGD(found, &urls_, &data_, own_.data(), static_cast<int>(own_.size()));
      ::freeUPNPDevlist(found);
    }
  }
  ~upnp_talk() {
    if (kind_ != 0) {
      ::FreeUPNPUrls(&urls_);
    }
  }
  upnp_talk(const upnp_talk&) = delete;
  upnp_talk& operator=(const upnp_talk&) = delete;

  [[nodiscard]] bool found() const noexcept { return kind_ == 1 || kind_ == 2; }

  [[nodiscard]] result<std::string> outside() {
    std::array<char, 64> text{};
    if (::UPNP_GetExternalIPAddress(urls_.controlURL, data_.first.servicetype, text.data()) !=
        UPNPCOMMAND_SUCCESS) {
      return fail(errc::unsupported, "the router found by UPnP does not tell its outer address");
    }
    return std::string{text.data()};
  }

  result<mapped_port> map(std::uint16_t port, std::chrono::seconds lease, bool udp_too) {
    OVIR_ASSIGN(const std::string host, outside());
    const std::string number = std::to_string(port);
    const std::string seconds = std::to_string(lease.count());
    // Some routers know no leases, and refuse all but "0", which is for ever.
    for (const char* const time : {seconds.c_str(), "0"}) {
      const auto add = [&](const char* protocol) {
        return ::UPNP_AddPortMapping(urls_.controlURL, data_.first.servicetype, number.c_str(),
                                     number.c_str(), own_.data(), mapping_text, protocol, nullptr,
                                     time) == UPNPCOMMAND_SUCCESS;
      };
      if (add("TCP")) {
        const bool both = udp_too && add("UDP");
        return mapped_port{to_string(host_and_port{host, port}),
                           *time == '0' ? std::chrono::seconds{0} : lease,
                           both ? "UPnP (TCP and UDP)" : "UPnP"};
      }
    }
    return fail(errc::unsupported, "the router found by UPnP maps no port to this machine");
  }

  result<void> unmap(std::uint16_t port, bool udp_too) {
    const std::string number = std::to_string(port);
    if (udp_too) {
      (void)::UPNP_DeletePortMapping(urls_.controlURL, data_.first.servicetype, number.c_str(),
                                     "UDP", nullptr);
    }
    if (::UPNP_DeletePortMapping(urls_.controlURL, data_.first.servicetype, number.c_str(), "TCP",
                                 nullptr) != UPNPCOMMAND_SUCCESS) {
      return fail(errc::unsupported, "the router found by UPnP keeps the mapping");
    }
    return {};
  }

private:
  UPNPUrls urls_{};
  IGDdatas data_{};
  std::array<char, 64> own_{};
  int kind_{0};
};

class home_router final : public router {
public:
  explicit home_router(bool udp_too) : udp_too_(udp_too) {}

  result<mapped_port> look() override {
    natpmp_talk talk{stopped_};
    const auto outside = talk.outside_address();
    if (outside && outside->type == NATPMP_RESPTYPE_PUBLICADDRESS) {
      return mapped_port{outside_text(*outside), {}, "NAT-PMP"};
    }
    upnp_talk other;
    if (!other.found()) {
      return fail(errc::not_found, "no router maps ports here, by NAT-PMP or UPnP");
    }
    OVIR_ASSIGN(std::string host, other.outside());
    return mapped_port{std::move(host), {}, "UPnP"};
  }

  result<mapped_port> map(std::uint16_t port, std::chrono::seconds lease) override {
    auto by_natpmp = map_by_natpmp(port, lease, udp_too_, stopped_);
    if (by_natpmp || stopped_.load()) {
      upnp_ = false;
      return by_natpmp;
    }
    upnp_talk talk;
    if (!talk.found()) {
      return fail(errc::not_found, "no router maps ports here ({}; none is found by UPnP)",
                  by_natpmp.error().message);
    }
    upnp_ = true;
    return talk.map(port, lease, udp_too_);
  }

  void cancel() noexcept override { stopped_.store(true); }

  result<void> unmap(std::uint16_t port) override {
    stopped_.store(false); // this is worth an answer
    if (!upnp_) {
      natpmp_talk talk{stopped_};
      if (udp_too_) {
        (void)talk.port(NATPMP_PROTOCOL_UDP, port, 0, 0);
      }
      const auto done = talk.port(NATPMP_PROTOCOL_TCP, port, 0, 0);
      return done ? result<void>{} : result<void>{done.error()};
    }
    upnp_talk talk;
    return talk.found() ? talk.unmap(port, udp_too_)
                        : result<void>{fail(errc::not_found, "the router is gone")};
  }

private:
  const bool udp_too_;
  std::atomic<bool> stopped_{false};
  bool upnp_{false}; ///< what mapped last
};

} // namespace

std::unique_ptr<router> make_home_router(bool udp_too) {
  return std::make_unique<home_router>(udp_too);
}

} // namespace ovir::actors
