#include "actors/reach/lan.hpp"
#include "messages/address_prefix.hpp"
#include "messages/limits/lan.hpp"

#include <avahi-common/address.h>
#include <avahi-common/error.h>
#include <avahi-common/malloc.h>
#include <avahi-common/simple-watch.h>
#include <avahi-common/strlst.h>
#include <avahi-common/thread-watch.h>
#include <avahi-core/core.h>
#include <avahi-core/log.h>
#include <avahi-core/lookup.h>
#include <avahi-core/publish.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

namespace ovir::actors {

namespace {

template <auto Free>
struct freed_by {
  template <class T>
  void operator()(T* what) const noexcept {
    Free(what);
  }
};
using simple_poll = std::unique_ptr<AvahiSimplePoll, freed_by<avahi_simple_poll_free>>;
using threaded_poll = std::unique_ptr<AvahiThreadedPoll, freed_by<avahi_threaded_poll_free>>;
/// Frees its groups, browsers and resolvers, too, and tells the network goodbye.
using mdns_server = std::unique_ptr<AvahiServer, freed_by<avahi_server_free>>;
using string_list = std::unique_ptr<AvahiStringList, freed_by<avahi_string_list_free>>;

/// What the library tells of interfaces and packets is not for people. The library has one such
/// function for the whole process.
void drop_log(AvahiLogLevel /*level*/, const char* /*text*/) {}

/// A responder that publishes what it is given and nothing of the machine, beside other ones.
/// `host` empty: it publishes no host.
result<mdns_server> start_server(const AvahiPoll* poll, const std::string& host,
                                 bool with_addresses, AvahiServerCallback changed, void* data) {
  avahi_set_log_function(drop_log);
  AvahiServerConfig how;
  avahi_server_config_init(&how);
  how.publish_hinfo = 0;
  how.publish_workstation = 0;
  how.publish_domain = 0;
  how.publish_addresses = with_addresses ? 1 : 0;
  how.disable_publishing = host.empty() ? 1 : 0;
  how.disallow_other_stacks = 0;
  how.enable_wide_area = 0;
  how.n_cache_entries_max = limits::lan_cache_entries_max;
  if (!host.empty()) {
    how.host_name = avahi_strdup(host.c_str());
  }
  int wrong = AVAHI_OK;
  mdns_server server{avahi_server_new(poll, &how, changed, data, &wrong)};
  avahi_server_config_free(&how);
  if (!server) {
    return fail(errc::io_failed, "multicast DNS does not start: {}", avahi_strerror(wrong));
  }
  return server;
}

class avahi_announced final : public announced {
public:
  avahi_announced(const announcement& told, announced_place place,
                  std::function<void(const std::string&)> warn)
      : place_(std::move(place)), name_(place_.name), warn_(std::move(warn)) {
    for (const std::string& one : to_txt(told)) {
      txt_.reset(avahi_string_list_add(txt_.release(), one.c_str()));
    }
  }
  avahi_announced(const avahi_announced&) = delete;
  avahi_announced& operator=(const avahi_announced&) = delete;
  ~avahi_announced() override {
    if (started_) {
      avahi_threaded_poll_stop(poll_.get());
    }
    server_.reset();
  }

  result<void> start() {
    poll_.reset(avahi_threaded_poll_new());
    if (!poll_) {
      return fail(errc::io_failed, "multicast DNS gets no memory for its loop");
    }
    // The callback comes once already from here, before there is a pointer to the server.
    OVIR_ASSIGN(server_, start_server(avahi_threaded_poll_get(poll_.get()), name_,
                                      place_.host.empty(), on_server, this));
    if (failed_ || avahi_threaded_poll_start(poll_.get()) != 0) {
      return fail(errc::io_failed, "multicast DNS does not run");
    }
    started_ = true;
    return {};
  }

private:
  static void on_server(AvahiServer* server, AvahiServerState state, void* data) {
    auto& self = *static_cast<avahi_announced*>(data);
    if (state == AVAHI_SERVER_RUNNING) {
      self.publish(server);
    } else if (state == AVAHI_SERVER_COLLISION) {
      self.rename(server);
    } else if (state == AVAHI_SERVER_REGISTERING && self.group_ != nullptr) {
      avahi_s_entry_group_reset(self.group_);
    } else if (state == AVAHI_SERVER_FAILURE) {
      self.give_up(avahi_strerror(avahi_server_errno(server)));
    }
  }

  static void on_group(AvahiServer* server, AvahiSEntryGroup* /*group*/, AvahiEntryGroupState state,
                       void* data) {
    auto& self = *static_cast<avahi_announced*>(data);
    if (state == AVAHI_ENTRY_GROUP_COLLISION) {
      self.rename(server);
    } else if (state == AVAHI_ENTRY_GROUP_FAILURE) {
      self.give_up(avahi_strerror(avahi_server_errno(server)));
    }
  }

  void give_up(const char* why) {
    failed_ = true;
    warn_(fmt::format("the local network hears no more of this node: {}", why));
  }

  /// Another host has the name, or says so.
  void rename(AvahiServer* server) {
    if (++renames_ > limits::lan_renames_max) {
      give_up("other hosts take every name that it tries");
      return;
    }
    name_ = fmt::format("{}-{}", place_.name, renames_ + 1);
    warn_(fmt::format("another host announces this node's name; it is announced as {}", name_));
    if (group_ != nullptr) {
      avahi_s_entry_group_reset(group_);
    }
    // Runs `publish` again once the name is this host's.
    if (avahi_server_set_host_name(server, name_.c_str()) < 0) {
      give_up(avahi_strerror(avahi_server_errno(server)));
    }
  }

  void publish(AvahiServer* server) {
    if (group_ == nullptr) {
      group_ = avahi_s_entry_group_new(server, on_group, this);
    }
    if (group_ == nullptr || !avahi_s_entry_group_is_empty(group_)) {
      return;
    }
    if (add_records(server) < 0) {
      give_up(avahi_strerror(avahi_server_errno(server)));
    }
  }

  int add_records(AvahiServer* server) {
    constexpr auto no_flags = static_cast<AvahiPublishFlags>(0);
    if (!place_.host.empty()) {
      AvahiAddress address{};
      if (avahi_address_parse(place_.host.c_str(), AVAHI_PROTO_UNSPEC, &address) == nullptr) {
        return -1;
      }
      if (const int code = avahi_server_add_address(
              server, group_, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, AVAHI_PUBLISH_NO_REVERSE,
              avahi_server_get_host_name_fqdn(server), &address);
          code < 0) {
        return code;
      }
    }
    if (const int code = avahi_server_add_service_strlst(
            server, group_, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, no_flags, name_.c_str(),
            lan_service_type.data(), nullptr, nullptr, place_.port, txt_.get());
        code < 0) {
      return code;
    }
    return avahi_s_entry_group_commit(group_);
  }

  announced_place place_;
  std::string name_; ///< as it is announced now
  std::function<void(const std::string&)> warn_;
  string_list txt_;
  threaded_poll poll_;
  mdns_server server_;
  AvahiSEntryGroup* group_{nullptr}; ///< the server's
  std::uint32_t renames_{0};
  bool failed_{false};
  bool started_{false};
};

/// HOST:PORT where others could be reached; empty for addresses that cannot be those of a node.
std::string reachable_text(const AvahiAddress& address, std::uint16_t port) {
  if (port == 0) {
    return {};
  }
  std::array<char, AVAHI_ADDRESS_STR_MAX> text{};
  avahi_address_snprint(text.data(), text.size(), &address);
  if (address.proto == AVAHI_PROTO_INET) {
    constexpr unsigned multicast = 224;
    const std::uint32_t bits = __builtin_bswap32(address.data.ipv4.address);
    return is_this_machine(prefix_of(bits)) || bits >> 24U >= multicast
               ? std::string{}
               : fmt::format("{}:{}", text.data(), port);
  }
  std::array<unsigned char, 16> bytes{};
  std::copy_n(std::begin(address.data.ipv6.address), bytes.size(), bytes.begin());
  // Link-local addresses mean nothing without the searcher's interface.
  const bool far = bytes[0] != 0xff && !(bytes[0] == 0xfe && bytes[1] >= 0x80);
  return is_this_machine(prefix_of(bytes)) || !far ? std::string{}
                                                   : fmt::format("[{}]:{}", text.data(), port);
}

class avahi_search {
public:
  avahi_search(const std::function<void(const sighting&)>& found) : found_(found) {}

  result<void> start() {
    poll_.reset(avahi_simple_poll_new());
    if (!poll_) {
      return fail(errc::io_failed, "multicast DNS gets no memory for its loop");
    }
    OVIR_ASSIGN(server_,
                start_server(avahi_simple_poll_get(poll_.get()), {}, false, on_server, this));
    if (avahi_s_service_browser_new(
            server_.get(), AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, lan_service_type.data(), nullptr,
            static_cast<AvahiLookupFlags>(0), on_service, this) == nullptr) {
      return fail(errc::io_failed, "the local network cannot be searched: {}",
                  avahi_strerror(avahi_server_errno(server_.get())));
    }
    return {};
  }

  /// Whether there is more to wait for: nothing was found yet, or some of it is not known whole.
  [[nodiscard]] bool done() const {
    return failed_ || (told_all_ && found_any_ && pending_.empty());
  }
  void step() {
    avahi_simple_poll_iterate(poll_.get(), static_cast<int>(limits::lan_search_poll.count()));
  }
  [[nodiscard]] search_end end() const { return {left_out_.size()}; }

private:
  static void on_server(AvahiServer* /*server*/, AvahiServerState state, void* data) {
    static_cast<avahi_search*>(data)->failed_ |= state == AVAHI_SERVER_FAILURE;
  }

  static void on_service(AvahiSServiceBrowser* /*browser*/, AvahiIfIndex interface,
                         AvahiProtocol protocol, AvahiBrowserEvent event, const char* name,
                         const char* type, const char* domain, AvahiLookupResultFlags /*flags*/,
                         void* data) {
    auto& self = *static_cast<avahi_search*>(data);
    if (event == AVAHI_BROWSER_NEW) {
      self.look_at(interface, protocol, name, type, domain);
    } else if (event == AVAHI_BROWSER_ALL_FOR_NOW) {
      self.told_all_ = true;
    } else if (event == AVAHI_BROWSER_FAILURE) {
      self.failed_ = true;
    }
  }

  void look_at(AvahiIfIndex interface, AvahiProtocol protocol, const char* name, const char* type,
               const char* domain) {
    if (!names_.contains(name)) {
      if (names_.size() >= limits::lan_services_max) {
        if (left_out_.size() < limits::lan_cache_entries_max) {
          left_out_.insert(name);
        }
        return;
      }
      names_.insert(name);
    }
    for (const AvahiProtocol kind : {AVAHI_PROTO_INET, AVAHI_PROTO_INET6}) {
      AvahiSServiceResolver* const resolver =
          avahi_s_service_resolver_new(server_.get(), interface, protocol, name, type, domain, kind,
                                       static_cast<AvahiLookupFlags>(0), on_resolved, this);
      if (resolver != nullptr && kind == AVAHI_PROTO_INET) {
        pending_.insert(resolver); // a host without IPv6 says nothing about that until long after
      }
    }
  }

  static void on_resolved(AvahiSServiceResolver* resolver, AvahiIfIndex /*interface*/,
                          AvahiProtocol /*protocol*/, AvahiResolverEvent event, const char* name,
                          const char* /*type*/, const char* /*domain*/, const char* /*host*/,
                          const AvahiAddress* address, std::uint16_t port, AvahiStringList* txt,
                          AvahiLookupResultFlags /*flags*/, void* data) {
    auto& self = *static_cast<avahi_search*>(data);
    self.pending_.erase(resolver);
    if (event != AVAHI_RESOLVER_FOUND || address == nullptr) {
      return;
    }
    self.tell(name, reachable_text(*address, port), txt);
    avahi_s_service_resolver_free(resolver); // what the host says next does not count
  }

  void tell(const char* name, const std::string& place, AvahiStringList* txt) {
    if (place.empty() || !told_.insert(fmt::format("{} {}", place, name)).second) {
      return;
    }
    sighting seen{name, place, {}};
    for (AvahiStringList* one = txt;
         one != nullptr && seen.txt.size() <= limits::lan_txt_strings_max;
         one = avahi_string_list_get_next(one)) {
      seen.txt.emplace_back(reinterpret_cast<const char*>(avahi_string_list_get_text(one)),
                            avahi_string_list_get_size(one));
    }
    found_any_ = true;
    found_(seen);
  }

  const std::function<void(const sighting&)>& found_;
  simple_poll poll_;
  mdns_server server_;
  std::set<std::string> names_;    ///< looked at
  std::set<std::string> left_out_; ///< beyond these
  std::set<std::string> told_;     ///< places with names, which come for each interface
  std::set<AvahiSServiceResolver*> pending_;
  bool told_all_{false};
  bool found_any_{false};
  bool failed_{false};
};

class avahi_lan final : public lan {
public:
  result<std::unique_ptr<announced>>
  announce(const announcement& told, const announced_place& place,
           std::function<void(const std::string&)> warn) override {
    auto made = std::make_unique<avahi_announced>(told, place, std::move(warn));
    OVIR_TRY(made->start());
    return std::unique_ptr<announced>{std::move(made)};
  }

  result<search_end> search(std::chrono::milliseconds longest,
                            const std::function<void(const sighting&)>& found,
                            const std::function<bool()>& stop) override {
    avahi_search searching{found};
    OVIR_TRY(searching.start());
    const auto begun = std::chrono::steady_clock::now();
    const auto lasts = [&] { return std::chrono::steady_clock::now() - begun; };
    while ((!searching.done() || lasts() < limits::lan_search_least) && !stop() &&
           lasts() < longest) {
      searching.step();
    }
    return searching.end();
  }
};

} // namespace

std::unique_ptr<lan> make_avahi_lan() { return std::make_unique<avahi_lan>(); }

} // namespace ovir::actors
