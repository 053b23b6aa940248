#include "actors/nat/home_links.hpp"

#include "actors/nat/address_rules.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

/// Messages that wait for a helper to be connected; a search says three at most.
constexpr std::size_t waiting_max = 4 * limits::attempts_max;

} // namespace

home_links::~home_links() {
  for (auto& [helper, l] : links_) {
    if (l.port) {
      l.port->stop();
    }
  }
}

void home_links::tell(const helper_join& what) {
  if (what == told_) {
    return;
  }
  told_ = what;
  for (auto& [helper, l] : links_) {
    if (l.home && l.up) {
      calls_.say(*l.connection, told_);
    }
  }
}

home_links::helper_link& home_links::open(const node_id& helper, time_point now) {
  const auto [at, fresh] = links_.try_emplace(helper);
  helper_link& l = at->second;
  l.used = now;
  if (!fresh) {
    return l;
  }
  l.apart = apart_.contains(helper);
  meeting_point::calls to;
  to.helper = [this, helper](ready_stream over) {
    const auto found = links_.find(helper);
    if (found != links_.end()) {
      found->second.port.reset();
      found->second.connection = calls_.link(std::move(over), helper);
    }
  };
  to.peer = [](const ready_stream&) {}; // it dials no one
  to.failed = [this, helper](const error& reason) {
    if (apart_.size() >= limits::helpers_known_max) {
      apart_.clear();
    }
    apart_.insert(helper); // the pair of ports may still be in use by an earlier connection
    lose(helper, reason, std::chrono::steady_clock::now());
  };
  l.port = std::make_shared<meeting_point>(context_, std::move(to));
  // Later, because it may fail at once, and `l` is in use.
  boost::asio::post(context_, [this, port = l.port, helper] {
    const auto found = links_.find(helper);
    if (found == links_.end() || found->second.port != port) {
      return;
    }
    const bool apart = found->second.apart;
    port->reach(known_.address_of(helper), apart ? 0 : port_);
    if (!apart && port_ == 0) {
      port_ = port->port(); // for those that follow
    }
  });
  return l;
}

void home_links::say(const node_id& helper, nat_message message, time_point now) {
  if (known_.address_of(helper).empty() && !links_.contains(helper)) {
    calls_.lost(helper, fail(errc::not_found, "helper {} is not known", short_name(helper)));
    return;
  }
  helper_link& l = open(helper, now);
  if (l.up) {
    calls_.say(*l.connection, message);
  } else if (l.waiting.size() < waiting_max) {
    l.waiting.push_back(std::move(message));
  }
}

bool home_links::connected(connection_id connection) {
  const auto helper = helper_of(connection);
  if (!helper) {
    return false;
  }
  helper_link& l = links_.at(*helper);
  l.up = true;
  if (l.home) {
    calls_.say(connection, told_);
  }
  for (const nat_message& one : std::exchange(l.waiting, {})) {
    calls_.say(connection, one);
  }
  return true;
}

bool home_links::closed(connection_id connection, const error& reason, time_point now) {
  const auto helper = helper_of(connection);
  if (helper) {
    lose(*helper, reason, now);
  }
  return helper.has_value();
}

void home_links::lose(const node_id& helper, const error& reason, time_point now) {
  known_.failed(helper, now);
  if (const auto found = links_.find(helper); found != links_.end() && found->second.up) {
    apart_.erase(helper);
  }
  links_.erase(helper);
  calls_.lost(helper, reason);
}

std::optional<node_id> home_links::helper_of(connection_id connection) const {
  const auto found = std::find_if(links_.begin(), links_.end(), [connection](const auto& one) {
    return one.second.connection == connection;
  });
  return found == links_.end() ? std::nullopt : std::optional{found->first};
}

void home_links::heard(const node_id& helper, const address_seen& what, time_point now) {
  const auto site = prefix_of_address(known_.address_of(helper));
  const auto link = links_.find(helper);
  if (what.udp || !site || link == links_.end() || link->second.apart) {
    return; // what is seen of another port tells nothing of how this one is mapped
  }
  if (const auto right = seen_.told(helper, *site, what, now); !right) {
    if (const auto c = link->second.connection) {
      calls_.close(*c, right.error());
    }
  }
}

std::vector<node_id> home_links::homes() const {
  std::vector<node_id> all;
  for (const auto& [helper, l] : links_) {
    if (l.home && l.up) {
      all.push_back(helper);
    }
  }
  return all;
}

void home_links::tick(time_point now) {
  const std::vector<node_id> wanted = known_.homes(now);
  const auto is_wanted = [&wanted](const node_id& node) {
    return std::find(wanted.begin(), wanted.end(), node) != wanted.end();
  };
  std::size_t homes = 0;
  for (const auto& [helper, l] : links_) {
    homes += l.home && l.up ? 1 : 0;
  }
  for (const node_id& helper : wanted) {
    helper_link& l = open(helper, now);
    if (!l.home) {
      l.home = true;
      if (l.up) {
        calls_.say(*l.connection, told_);
      }
    }
  }
  // One that is a home no longer is left when there are enough others, or it is not used.
  std::vector<connection_id> left;
  for (auto& [helper, l] : links_) {
    const bool idle = now >= l.used + limits::helper_idle_max;
    if (l.up && !is_wanted(helper) && (l.home ? homes > limits::helpers_kept && idle : idle)) {
      left.push_back(*l.connection);
    }
  }
  for (const connection_id one : left) {
    calls_.close(one, {errc::busy, "the helper is not needed"});
  }
}

} // namespace ovir::actors
