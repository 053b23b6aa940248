#include "actors/link/access_list.hpp"

#include "messages/limits/admissions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>

namespace ovir::actors {

namespace {

constexpr std::string_view head = "ovir-admissions-v1";
/// Of one that was kicked and never showed a token. A token with this nonce does not count.
constexpr std::array<std::uint8_t, 16> no_nonce{};

std::string hex(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += fmt::format("{:02x}", byte);
  }
  return text;
}

std::string hex(std::span<const std::byte> bytes) {
  return hex(std::span{reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

/// The token that the end of a line has. False: something else is there.
bool read_token(const std::string& text, const node_id& node, std::vector<std::byte>& out) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    unsigned value = 0;
    const auto end = text.data() + i + 2;
    if (std::from_chars(text.data() + i, end, value, 16).ptr != end) {
      return false;
    }
    bytes.push_back(static_cast<std::byte>(value));
  }
  const auto shown = shown_token_from_bytes(bytes);
  if (!shown || shown->token.node != node || hex(bytes) != text) {
    return false;
  }
  out = std::move(bytes);
  return true;
}

bool read_nonce(const std::string& text, std::array<std::uint8_t, 16>& out) {
  // As the first half of a key's text, whose reader is strict.
  const auto padded = node_id_from_hex(text + std::string(32, '0'));
  if (!padded || text.size() != 32) {
    return false;
  }
  std::copy_n(padded->key.begin(), out.size(), out.begin());
  return true;
}

result<role_set> wanted_within(const peer_hello& hello, role_set may) {
  if (hello.roles.empty()) {
    return fail(errc::invalid_argument, "{} asks for no role; give it one", short_name(hello.node));
  }
  if (hello.kind == channel::admin) { // a shell asks for all there is, and gets what it may
    const bool operates = may.has(role::operate);
    role_set granted;
    if (hello.roles.has(role::operate) && operates) {
      granted.add(role::operate);
    }
    if (hello.roles.has(role::reader) && (operates || may.has(role::reader))) {
      granted.add(role::reader);
    }
    if (!granted.empty()) {
      return granted;
    }
  }
  if (!hello.roles.within(may)) {
    return fail(errc::invalid_argument,
                "{} wants to be {} and may be {}; change its roles or what it is allowed here",
                short_name(hello.node), to_string(hello.roles), to_string(may));
  }
  return hello.roles;
}

} // namespace

result<std::unique_ptr<access_list>> access_list::load(storage::env& env, settings how) {
  std::unique_ptr<access_list> list{new access_list{env, std::move(how)}};
  if (list->settings_.path.empty()) {
    return list;
  }
  const auto text = env.read(list->settings_.path, limits::admissions_bytes_max);
  if (!text && text.error().code == errc::not_found) {
    return list;
  }
  if (!text) {
    return text.error();
  }
  std::istringstream lines{*text};
  std::string line;
  std::getline(lines, line);
  bool good = line == head;
  while (good && std::getline(lines, line)) {
    std::istringstream words{line};
    std::string key;
    std::string nonce;
    std::string state;
    std::string shown;
    std::string rest;
    role_set roles;
    std::array<std::uint8_t, 16> used{};
    std::vector<std::byte> token;
    words >> key >> roles.bits >> nonce >> state;
    const auto node = node_id_from_hex(key);
    good = node && !words.fail() && read_nonce(nonce, used) &&
           (state == "admitted" || state == "kicked" || state == "convicted") &&
           (!(words >> shown) || (read_token(shown, *node, token) && !(words >> rest)));
    if (good) { // a line for each token of a node, the latest last
      admission& entry = list->admitted_[*node];
      entry.roles = roles;
      entry.convicted = state == "convicted";
      entry.kicked = entry.convicted || state == "kicked";
      if (used != no_nonce) {
        entry.used.push_back(used);
      }
      if (!token.empty()) {
        entry.token = std::move(token);
      }
    }
  }
  if (!good) {
    return fail(errc::malformed,
                "{}: is damaged at '{}'; restore it, or remove it to forget every "
                "admission by token",
                list->settings_.path, line.substr(0, 80));
  }
  for (const auto& one : list->admitted_) {
    list->note(one.first);
  }
  std::stable_partition(list->noticed_.begin(), list->noticed_.end(), [&](const node_id& node) {
    return !list->admitted_.at(node).roles.empty(); // guests before revocations
  });
  // Naming a key in the configuration lets a kicked node in again, when this one is restarted.
  for (const auto& [node, roles] : list->settings_.keys) {
    if (const auto known = list->admitted_.find(node); known != list->admitted_.end()) {
      known->second.kicked = known->second.convicted;
    }
  }
  return list;
}

result<void> access_list::save() const {
  if (settings_.path.empty()) {
    return {};
  }
  std::string text = fmt::format("{}\n", head);
  for (const auto& one : admitted_) {
    const node_id& node = one.first;
    const auto& entry = one.second;
    const std::string_view state = entry.convicted ? "convicted"
                                   : entry.kicked  ? "kicked"
                                                   : "admitted";
    const std::string token =
        entry.token.empty() ? std::string{} : fmt::format(" {}", hex(std::span{entry.token}));
    const auto line = [&](const std::array<std::uint8_t, 16>& nonce, std::string_view shown) {
      text += fmt::format("{} {} {} {}{}\n", to_hex(node), entry.roles.bits,
                          hex(std::span<const std::uint8_t>{nonce}), state, shown);
    };
    for (std::size_t i = 0; i < entry.used.size(); ++i) {
      line(entry.used[i], i + 1 == entry.used.size() ? std::string_view{token} : "");
    }
    if (entry.used.empty()) {
      line(no_nonce, token);
    }
  }
  OVIR_ASSIGN(const auto file, env_.stage(settings_.path));
  OVIR_TRY(file->append(std::as_bytes(std::span{text})));
  return file->commit();
}

/// Only what an admin's tokens brought counts: neither kicks nor convictions take a place.
result<void> access_list::remember(const node_id& node, admission entry) {
  std::size_t tokens = 1;
  for (const auto& [known, its] : admitted_) {
    const std::size_t shown = its.token.empty() ? 0 : 1;
    tokens += its.convicted ? 0 : std::max(its.used.size(), shown);
  }
  if (tokens > limits::admissions_max) {
    return fail(errc::over_limit, "{} admissions are remembered already", tokens - 1);
  }
  const auto before = admitted_.find(node);
  const bool is_new = before == admitted_.end();
  admission old = is_new ? admission{} : before->second;
  admitted_[node] = std::move(entry);
  if (auto saved = save(); !saved) {
    if (is_new) {
      admitted_.erase(node);
    } else {
      admitted_[node] = std::move(old);
    }
    return saved;
  }
  note(node);
  return {};
}

void access_list::note(const node_id& node) {
  const auto shown = shown_token_from_bytes(admitted_[node].token);
  if (shown && is_told(*shown) &&
      std::find(noticed_.begin(), noticed_.end(), node) == noticed_.end()) {
    noticed_.push_back(node);
  }
}

std::size_t access_list::uses_of(const node_id& invitation_key, const node_id& node) const {
  return static_cast<std::size_t>(
      std::count_if(admitted_.begin(), admitted_.end(), [&](const auto& one) {
        const auto shown = shown_token_from_bytes(one.second.token);
        return one.first != node && shown && shown->by && shown->by->key == invitation_key;
      }));
}

result<void> access_list::still_open(const shown_token& shown) const {
  if (!shown.by) {
    return {};
  }
  const auto known = admitted_.find(shown.by->key);
  if (known != admitted_.end() && known->second.kicked) {
    return fail(errc::over_limit, "the invitation {} was revoked; ask for a new one",
                short_name(shown.by->key));
  }
  if (const std::size_t used = uses_of(shown.by->key, shown.token.node); used >= shown.by->uses) {
    return fail(errc::over_limit,
                "the invitation {} is used up ({} of {} nodes); ask for a new one",
                short_name(shown.by->key), used, shown.by->uses);
  }
  return {};
}

bool access_list::was_let_in_by(const admission& entry, const invitation& by) {
  const auto shown = shown_token_from_bytes(entry.token);
  return shown && shown->by && shown->by->key == by.key && !entry.roles.empty();
}

result<role_set> access_list::by_token(const peer_hello& hello, std::uint64_t unix_now) {
  OVIR_ASSIGN(const shown_token shown, shown_token_from_bytes(hello.token));
  const join_token& token = shown.token;
  if (token.node != hello.node) {
    return fail(errc::invalid_argument, "the join token is for {} and {} shows it",
                short_name(token.node), short_name(hello.node));
  }
  if (!hello.token_bound) {
    return fail(errc::invalid_argument,
                "the join token was not bound to this connection by the key it is for");
  }
  if (!is_admin(shown.admin())) {
    return fail(errc::invalid_argument,
                "the join token is signed by {}, who is no admin here; add the key to 'admins'",
                short_name(shown.admin()));
  }
  const auto known = admitted_.find(hello.node);
  admission entry = known == admitted_.end() ? admission{} : known->second;
  // A guest can sign any number of tokens by its invitation: for one key they count as one.
  const bool again = shown.by && was_let_in_by(entry, *shown.by);
  const bool used =
      again || std::find(entry.used.begin(), entry.used.end(), token.nonce) != entry.used.end();
  if ((entry.kicked && (used || shown.by)) || token.nonce == no_nonce) {
    return fail(errc::invalid_argument, "{} was kicked; it needs a new join token",
                short_name(hello.node));
  }
  // A token that admitted this key once vouches for it also after its end: the admission stays.
  OVIR_TRY(check(shown, used ? 0 : unix_now));
  if (!used) {
    OVIR_TRY(still_open(shown));
  }
  OVIR_ASSIGN(const role_set roles, wanted_within(hello, again ? entry.roles : token.roles));
  if (!used || entry.token.empty()) {
    if (!used) {
      entry.roles = token.roles;
      entry.kicked = false;
      entry.used.push_back(token.nonce);
    }
    entry.token = hello.token;
    OVIR_TRY(remember(hello.node, std::move(entry)));
  }
  return roles;
}

bool access_list::is_unknown(const node_id& node) const {
  const auto known = admitted_.find(node);
  return settings_.open && node != settings_.self && !settings_.keys.contains(node) &&
         (known == admitted_.end() || (!known->second.kicked && known->second.roles.empty()));
}

result<role_set> access_list::by_the_open_door(const peer_hello& hello, std::uint64_t unix_now) {
  if (!hello.roles.within(stranger_door::roles) || hello.kind == channel::admin) {
    return fail(errc::invalid_argument,
                "{} asks to be {}, and nothing is known of its key: in this open cluster such keys "
                "may be {} alone; ask an admin for a join token for the rest",
                short_name(hello.node), to_string(hello.roles), to_string(stranger_door::roles));
  }
  OVIR_ASSIGN(const role_set roles, wanted_within(hello, stranger_door::roles));
  OVIR_TRY(door_.enter(hello.node, hello.from, unix_now));
  return roles;
}

result<role_set> access_list::admit(const peer_hello& hello, std::uint64_t unix_now) {
  const std::lock_guard lock{guard_};
  // Shells, and machines that join an open cluster by an address, do not know its name yet.
  const bool any = hello.cluster.empty() && (hello.kind == channel::admin || settings_.open);
  if (!settings_.cluster.empty() && hello.cluster != settings_.cluster && !any) {
    return fail(errc::invalid_argument,
                "this node belongs to the cluster '{}' and {} wants another; check 'cluster'",
                settings_.cluster, short_name(hello.node));
  }
  const auto known = admitted_.find(hello.node);
  const bool kicked = known != admitted_.end() && known->second.kicked;
  if (kicked && known->second.convicted) {
    return fail(errc::invalid_argument,
                "{} was convicted of a false statement; no token brings this key back, only a new "
                "key does",
                short_name(hello.node));
  }
  const auto listed = settings_.keys.find(hello.node);
  if (listed != settings_.keys.end() && !kicked) {
    if (const auto shown = shown_token_from_bytes(hello.token);
        shown && shown->token.node == hello.node && !is_revocation(*shown)) {
      (void)learn(*shown, unix_now); // to show it to nodes that do not list this key
    }
    return wanted_within(hello, listed->second);
  }
  if (!hello.token.empty()) {
    return by_token(hello, unix_now);
  }
  if (kicked) {
    return fail(errc::invalid_argument, "{} was kicked; it needs a new join token",
                short_name(hello.node));
  }
  if (is_unknown(hello.node)) {
    return by_the_open_door(hello, unix_now);
  }
  if (known != admitted_.end()) {
    return wanted_within(hello, known->second.roles);
  }
  return fail(errc::invalid_argument,
              "key {} is not allowed here; name it under [[access]] or give it a join token",
              to_hex(hello.node));
}

bool access_list::is_admin(const node_id& key) const {
  return std::find(settings_.admins.begin(), settings_.admins.end(), key) != settings_.admins.end();
}

role_set access_list::roles_of(const node_id& node) const {
  const std::lock_guard lock{guard_};
  const auto known = admitted_.find(node);
  if (known != admitted_.end() && known->second.kicked) {
    return {};
  }
  if (const auto listed = settings_.keys.find(node); listed != settings_.keys.end()) {
    return listed->second;
  }
  if (is_unknown(node)) {
    return stranger_door::roles;
  }
  return known == admitted_.end() ? role_set{} : known->second.roles;
}

bool access_list::is_stranger(const node_id& node) const {
  const std::lock_guard lock{guard_};
  return is_unknown(node);
}

void access_list::came(const node_id& node) {
  const std::lock_guard lock{guard_};
  door_.came(node);
}

void access_list::went(const node_id& node) {
  const std::lock_guard lock{guard_};
  door_.went(node);
}

std::vector<node_id> access_list::take_replaced() {
  const std::lock_guard lock{guard_};
  return door_.take_replaced();
}

std::optional<stranger_door::counts> access_list::strangers() const {
  const std::lock_guard lock{guard_};
  return settings_.open ? std::optional{door_.count()} : std::nullopt;
}

bool access_list::is_convicted(const node_id& node) const {
  const std::lock_guard lock{guard_};
  const auto known = admitted_.find(node);
  return known != admitted_.end() && known->second.convicted;
}

role_set access_list::past_roles_of(const node_id& node) const {
  const std::lock_guard lock{guard_};
  role_set all;
  if (!node.empty() && node == settings_.self) {
    return member_roles;
  }
  if (const auto listed = settings_.keys.find(node); listed != settings_.keys.end()) {
    all.bits |= listed->second.bits;
  }
  if (const auto known = admitted_.find(node); known != admitted_.end()) {
    all.bits |= known->second.roles.bits;
    if (const auto shown = shown_token_from_bytes(known->second.token)) {
      all.bits |= shown->token.roles.bits;
    }
    if (known->second.convicted && all.empty()) { // what it was is known no more
      return member_roles;
    }
  }
  all.bits &= member_roles.bits;
  return all.empty() && is_unknown(node) ? stranger_door::roles : all;
}

std::optional<role_set> access_list::worth_hearing_of(const node_id& node) const {
  const std::lock_guard lock{guard_};
  const auto known = admitted_.find(node);
  if (known != admitted_.end() && known->second.kicked) {
    return std::nullopt;
  }
  if (const auto listed = settings_.keys.find(node); listed != settings_.keys.end()) {
    return listed->second;
  }
  if (known != admitted_.end() && !known->second.roles.empty()) {
    return known->second.roles;
  }
  if (is_unknown(node)) {
    return stranger_door::roles; // for more it shows its token, or others do
  }
  return settings_.admins.empty() ? std::nullopt : std::optional{member_roles};
}

result<void> access_list::show(std::span<const std::byte> token, std::uint64_t unix_now) {
  OVIR_ASSIGN(const shown_token shown, shown_token_from_bytes(token));
  const std::lock_guard lock{guard_};
  return learn(shown, unix_now);
}

result<void> access_list::learn(const shown_token& shown, std::uint64_t unix_now) {
  const join_token& token = shown.token;
  if (!is_admin(shown.admin())) {
    return fail(errc::not_found,
                "the join token of {} is signed by {}, who is no admin here; add the key to "
                "'admins'",
                short_name(token.node), short_name(shown.admin()));
  }
  if (is_revocation(shown)) {
    return revoke(shown);
  }
  if (!token.roles.within(member_roles) || token.roles.empty() || token.nonce == no_nonce) {
    return fail(errc::not_found, "the join token of {} is none of a member",
                short_name(token.node));
  }
  const auto known = admitted_.find(token.node);
  admission entry = known == admitted_.end() ? admission{} : known->second;
  std::vector<std::byte> bytes = to_bytes(shown);
  if (token.node == settings_.self || entry.kicked || entry.token == bytes ||
      (!entry.roles.empty() && !entry.token.empty())) {
    return {};
  }
  OVIR_TRY(check(shown, 0));
  if (entry.roles.empty()) {
    OVIR_TRY(still_open(shown));
  }
  if (entry.roles.empty() && check(shown, unix_now)) {
    entry.roles = token.roles;
    entry.used.push_back(token.nonce);
  }
  entry.token = std::move(bytes);
  return remember(token.node, std::move(entry));
}

result<void> access_list::revoke(const shown_token& shown) {
  const node_id& key = shown.token.node;
  OVIR_TRY(check(shown, 0));
  const auto known = admitted_.find(key);
  const bool admitted =
      known != admitted_.end() && (!known->second.roles.empty() || known->second.convicted);
  if (admitted || settings_.keys.contains(key) || key == settings_.self) {
    return fail(errc::not_found, "{} is a member and no invitation; kick it", short_name(key));
  }
  if (known != admitted_.end() && known->second.kicked && !known->second.token.empty()) {
    return {};
  }
  admission entry;
  entry.kicked = true;
  entry.token = to_bytes(shown);
  return remember(key, std::move(entry));
}

std::vector<access_list::known_invitation> access_list::invitations() const {
  const std::lock_guard lock{guard_};
  std::map<node_id, known_invitation> found;
  for (const node_id& node : noticed_) {
    const admission& entry = admitted_.at(node);
    const auto shown = shown_token_from_bytes(entry.token);
    if (shown && shown->by) {
      known_invitation& its = found[shown->by->key];
      its.what = shown->by;
      ++its.used;
    } else if (shown && is_revocation(*shown)) {
      found[node].revoked = true;
    }
  }
  std::vector<known_invitation> out;
  for (auto& [key, its] : found) {
    its.key = key;
    out.push_back(its);
  }
  return out;
}

std::vector<std::vector<std::byte>> access_list::notices(std::size_t& first,
                                                         std::size_t most) const {
  const std::lock_guard lock{guard_};
  std::vector<std::vector<std::byte>> out;
  while (first < noticed_.size() && out.size() < most) {
    const std::vector<std::byte>& token = admitted_.at(noticed_[first++]).token;
    const auto shown = shown_token_from_bytes(token);
    if (shown && is_told(*shown)) {
      out.push_back(token);
    }
  }
  return out;
}

std::vector<std::byte> access_list::token_of(const node_id& node) const {
  const std::lock_guard lock{guard_};
  if (node == settings_.self) {
    return settings_.token;
  }
  const auto known = admitted_.find(node);
  return known == admitted_.end() ? std::vector<std::byte>{} : known->second.token;
}

result<void> access_list::put_out(const node_id& node, bool convicted) {
  const std::lock_guard lock{guard_};
  constexpr std::size_t most = limits::admissions_max + limits::audit_convicted_max;
  door_.went(node);
  if (settings_.open && !admitted_.contains(node) && admitted_.size() >= most) {
    forget_a_stranger();
  }
  if (!admitted_.contains(node) && admitted_.size() >= most) {
    return fail(errc::over_limit, "{} keys are remembered already", admitted_.size());
  }
  admission& entry = admitted_[node];
  entry.kicked = true; // holds even when it cannot be written down
  if (convicted) {
    entry.convicted = true;
    entry.used.clear(); // no token brings it back, whichever
  }
  return save();
}

void access_list::forget_a_stranger() {
  const auto one = std::find_if(admitted_.begin(), admitted_.end(), [](const auto& entry) {
    return entry.second.kicked && entry.second.roles.empty() && entry.second.token.empty();
  });
  if (one != admitted_.end()) {
    std::erase(noticed_, one->first);
    admitted_.erase(one);
  }
}

result<void> access_list::kick(const node_id& node) { return put_out(node, false); }

result<void> access_list::expel(const node_id& node) { return put_out(node, true); }

void access_list::replace_keys(std::map<node_id, role_set> keys) {
  const std::lock_guard lock{guard_};
  settings_.keys = std::move(keys);
}

} // namespace ovir::actors
