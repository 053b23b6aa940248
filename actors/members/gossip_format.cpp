#include "actors/members/gossip_format.hpp"

#include "compute/base/printable.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ovir::actors {

namespace {

// message    = "OVG2" kind:u8 body count:u16 update*
// update     = 1:u8 advert signature | 2:u8 suspicion signature | 3:u8 farewell signature
// Integers are little-endian, a flag is one byte 0 or 1, a text is length:u16 and its bytes.
constexpr std::string_view magic = "OVG2";
constexpr std::size_t signature_bytes = 64;
constexpr std::size_t suspicion_bytes = 2 * node_id::size + 8;
constexpr std::size_t farewell_bytes = node_id::size + 8;
constexpr std::size_t segment_bytes = digest::size + 3 * 4;
constexpr std::size_t rtt_bytes = node_id::size + 4;
constexpr std::size_t known_node_bytes = node_id::size + 8 + 1;

static_assert(std::is_same_v<std::variant_alternative_t<4, gossip_body>, life_sign> &&
                  std::variant_size_v<gossip_body> == 7 && std::variant_size_v<signed_update> == 3,
              "the kinds on the wire are the places in these variants plus one");

class writer {
public:
  explicit writer(std::size_t expected = 0) { out_.reserve(expected); }

  template <class Integer>
  writer& number(Integer value) {
    for (std::size_t i = 0; i < sizeof(Integer); ++i) {
      out_.push_back(static_cast<std::byte>((std::uint64_t{value} >> (8 * i)) & 0xffU));
    }
    return *this;
  }
  writer& flag(bool value) { return number(static_cast<std::uint8_t>(value ? 1 : 0)); }
  template <std::size_t Size>
  writer& raw(const std::array<std::uint8_t, Size>& bytes) {
    const auto view = std::as_bytes(std::span{bytes});
    out_.insert(out_.end(), view.begin(), view.end());
    return *this;
  }
  writer& characters(std::string_view text) {
    const auto view = std::as_bytes(std::span{text});
    out_.insert(out_.end(), view.begin(), view.end());
    return *this;
  }
  writer& text(std::string_view value) {
    return number(static_cast<std::uint16_t>(value.size())).characters(value);
  }
  writer& node(const node_id& id) { return raw(id.key); }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(out_); }
  [[nodiscard]] std::size_t size() const noexcept { return out_.size(); }

private:
  std::vector<std::byte> out_;
};

/// Reads from the front. After the first thing that is not there, or not as it must be, everything
/// reads as zero and `ok` stays false, so that a decoder asks once.
class reader {
public:
  explicit reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <class Integer>
  Integer number() {
    std::uint64_t value = 0;
    const auto bytes = take(sizeof(Integer));
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
    }
    return static_cast<Integer>(value);
  }
  bool flag() {
    const auto value = number<std::uint8_t>();
    if (value > 1) {
      refuse("a flag that is neither 0 nor 1");
    }
    return value == 1;
  }
  template <std::size_t Size>
  void raw(std::array<std::uint8_t, Size>& out) {
    const auto bytes = take(Size);
    std::transform(bytes.begin(), bytes.end(), out.begin(),
                   [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  }
  node_id node() {
    node_id id;
    raw(id.key);
    return id;
  }
  std::string text(std::size_t bytes_max) {
    const auto size = number<std::uint16_t>();
    if (size > bytes_max) {
      refuse("a text above its bound");
      return {};
    }
    const auto bytes = take(size);
    std::string out(bytes.size(), '\0');
    std::transform(bytes.begin(), bytes.end(), out.begin(),
                   [](std::byte b) { return static_cast<char>(std::to_integer<char>(b)); });
    return out;
  }
  /// How many things of at least `each_min` bytes follow; refused before anything is reserved for
  /// more than there is.
  std::size_t count(std::size_t count_max, std::size_t each_min) {
    const auto claimed = number<std::uint16_t>();
    if (claimed > count_max) {
      refuse("a count above its bound");
      return 0;
    }
    if (std::size_t{claimed} * each_min > rest_.size()) {
      refuse("more entries than there are bytes for");
      return 0;
    }
    return claimed;
  }
  void refuse(std::string_view why) {
    if (why_.empty()) {
      why_ = why;
    }
    rest_ = {};
  }
  [[nodiscard]] bool ok() const noexcept { return why_.empty(); }
  [[nodiscard]] std::string_view why() const noexcept { return why_; }
  [[nodiscard]] std::size_t left() const noexcept { return rest_.size(); }

private:
  std::span<const std::byte> take(std::size_t size) {
    if (size > rest_.size()) {
      refuse("an end before its time");
      return {};
    }
    const auto out = rest_.first(size);
    rest_ = rest_.subspan(size);
    return out;
  }

  std::span<const std::byte> rest_;
  std::string_view why_;
};

// advert = node incarnation:u64 roles:u16 draining:flag name:text address:text admin_address:text
//          count:u16 (model first:u32 last:u32 model_layers:u32)*
//          memory_bytes:u64 memory_free:u64 decode:u64 prefill:u64 sessions:u32 ask:u32
//          count:u16 (node microseconds:u32)*
void write_advert(writer& w, const signed_advert& a) {
  w.node(a.node).number(a.incarnation).number(a.advert.roles.bits).flag(a.advert.draining);
  w.text(a.advert.name).text(a.advert.address).text(a.advert.admin_address);
  w.number(static_cast<std::uint16_t>(a.advert.held.size()));
  for (const held_segment& s : a.advert.held) {
    w.raw(s.model.bytes).number(s.layers.first).number(s.layers.last).number(s.model_layers);
  }
  w.number(a.advert.memory_bytes).number(a.advert.memory_free);
  w.number(a.advert.decode_bytes_per_second).number(a.advert.prefill_bytes_per_second);
  w.number(a.advert.sessions).number(a.advert.ask_ppm);
  w.number(static_cast<std::uint16_t>(a.advert.rtts.size()));
  for (const measured_rtt& r : a.advert.rtts) {
    w.node(r.node).number(r.microseconds);
  }
}

signed_advert read_advert(reader& r) {
  signed_advert a;
  a.node = r.node();
  a.incarnation = r.number<std::uint64_t>();
  a.advert.roles.bits = r.number<std::uint16_t>();
  a.advert.draining = r.flag();
  a.advert.name = r.text(limits::node_name_bytes_max);
  a.advert.address = r.text(limits::address_bytes_max);
  a.advert.admin_address = r.text(limits::address_bytes_max);
  a.advert.held.resize(r.count(limits::advert_segments_max, segment_bytes));
  for (held_segment& s : a.advert.held) {
    r.raw(s.model.bytes);
    s.layers.first = r.number<layer_index>();
    s.layers.last = r.number<layer_index>();
    s.model_layers = r.number<std::uint32_t>();
  }
  a.advert.memory_bytes = r.number<std::uint64_t>();
  a.advert.memory_free = r.number<std::uint64_t>();
  a.advert.decode_bytes_per_second = r.number<std::uint64_t>();
  a.advert.prefill_bytes_per_second = r.number<std::uint64_t>();
  a.advert.sessions = r.number<std::uint32_t>();
  a.advert.ask_ppm = r.number<std::uint32_t>();
  a.advert.rtts.resize(r.count(limits::advert_rtts_max, rtt_bytes));
  for (measured_rtt& m : a.advert.rtts) {
    m.node = r.node();
    m.microseconds = r.number<std::uint32_t>();
  }
  if (r.ok() && !check_advert(a.advert)) {
    r.refuse("an advert outside its bounds");
  }
  return a;
}

void write_suspicion(writer& w, const signed_suspicion& s) {
  w.node(s.accuser).node(s.subject).number(s.incarnation);
}

void write_farewell(writer& w, const signed_farewell& f) { w.node(f.node).number(f.incarnation); }

/// What is signed of an update: all of it but the signature.
std::vector<std::byte> canonical(const signed_advert& a) {
  writer w{512};
  write_advert(w, a);
  return w.take();
}

std::vector<std::byte> canonical(const signed_suspicion& s) {
  writer w{suspicion_bytes};
  write_suspicion(w, s);
  return w.take();
}

std::vector<std::byte> canonical(const signed_farewell& f) {
  writer w{farewell_bytes};
  write_farewell(w, f);
  return w.take();
}

std::vector<std::byte> canonical(const life_sign& s) {
  writer w{node_id::size + 8};
  w.node(s.requester).number(s.nonce);
  return w.take();
}

// One domain per kind of statement, so that none can stand for another.
constexpr std::string_view domain_of(const signed_advert&) { return "ovir/advert/v1"; }
constexpr std::string_view domain_of(const signed_suspicion&) { return "ovir/suspicion/v1"; }
constexpr std::string_view domain_of(const signed_farewell&) { return "ovir/farewell/v1"; }
constexpr std::string_view domain_of(const life_sign&) { return "ovir/life-sign/v1"; }

const node_id& signer_of(const signed_advert& a) { return a.node; }
const node_id& signer_of(const signed_suspicion& s) { return s.accuser; }
const node_id& signer_of(const signed_farewell& f) { return f.node; }
const node_id& signer_of(const life_sign& s) { return s.target; }

template <class Statement>
bool genuine(const Statement& s) {
  return verify(signer_of(s), domain_of(s), canonical(s), s.proof);
}

void write_update(writer& w, const signed_update& update) {
  w.number(static_cast<std::uint8_t>(update.index() + 1));
  if (const auto* advert = std::get_if<signed_advert>(&update)) {
    write_advert(w, *advert);
  } else if (const auto* suspicion = std::get_if<signed_suspicion>(&update)) {
    write_suspicion(w, *suspicion);
  } else {
    write_farewell(w, std::get<signed_farewell>(update));
  }
  std::visit([&w](const auto& u) { w.raw(u.proof.bytes); }, update);
}

signed_update read_update(reader& r) {
  const auto kind = r.number<std::uint8_t>();
  if (kind == 1) {
    signed_advert a = read_advert(r);
    r.raw(a.proof.bytes);
    return a;
  }
  if (kind == 2) {
    signed_suspicion s;
    s.accuser = r.node();
    s.subject = r.node();
    s.incarnation = r.number<std::uint64_t>();
    r.raw(s.proof.bytes);
    return s;
  }
  signed_farewell f;
  if (kind != 3) {
    r.refuse("an update of unknown kind");
    return f;
  }
  f.node = r.node();
  f.incarnation = r.number<std::uint64_t>();
  r.raw(f.proof.bytes);
  return f;
}

struct body_writer {
  writer& w;

  void operator()(const ping& b) const { w.number(b.nonce); }
  void operator()(const ping_answer& b) const { w.number(b.nonce); }
  void operator()(const probe_order& b) const { w.number(b.nonce).node(b.target); }
  void operator()(const relayed_ping& b) const { w.number(b.nonce).node(b.requester); }
  void operator()(const life_sign& b) const {
    w.number(b.nonce).node(b.target).node(b.requester).raw(b.proof.bytes);
  }
  void operator()(const summary& b) const {
    OVIR_CHECK(b.nodes.size() <= limits::gossip_nodes_max, b.nodes.size());
    w.flag(b.answer_wanted).number(static_cast<std::uint16_t>(b.nodes.size()));
    for (const known_node& k : b.nodes) {
      w.node(k.node).number(k.incarnation).flag(k.counted);
    }
  }
  void operator()(const news&) const {}
};

summary read_summary(reader& r) {
  summary s;
  s.answer_wanted = r.flag();
  s.nodes.resize(r.count(limits::gossip_nodes_max, known_node_bytes));
  for (known_node& k : s.nodes) {
    k.node = r.node();
    k.incarnation = r.number<std::uint64_t>();
    k.counted = r.flag();
  }
  return s;
}

gossip_body read_body(reader& r) {
  const auto kind = r.number<std::uint8_t>();
  if (kind == 6) {
    return read_summary(r);
  }
  if (kind == 7) {
    return news{};
  }
  const auto nonce = r.number<std::uint64_t>();
  switch (kind) {
  case 1: return ping{nonce};
  case 2: return ping_answer{nonce};
  case 3: return probe_order{nonce, r.node()};
  case 4: return relayed_ping{nonce, r.node()};
  case 5: {
    life_sign s;
    s.nonce = nonce;
    s.target = r.node();
    s.requester = r.node();
    r.raw(s.proof.bytes);
    return s;
  }
  default: r.refuse("a message of unknown kind"); return news{};
  }
}

} // namespace

const node_id& subject_of(const signed_update& update) noexcept {
  if (const auto* advert = std::get_if<signed_advert>(&update)) {
    return advert->node;
  }
  if (const auto* suspicion = std::get_if<signed_suspicion>(&update)) {
    return suspicion->subject;
  }
  return std::get_if<signed_farewell>(&update)->node;
}

std::uint64_t incarnation_of(const signed_update& update) noexcept {
  return std::visit([](const auto& u) { return u.incarnation; }, update);
}

result<void> check_advert(const node_advert& advert) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  const auto outside = [](char c) { return c < 0x21 || c > 0x7e; };
  if (advert.name.size() > limits::node_name_bytes_max ||
      std::max(advert.address.size(), advert.admin_address.size()) > limits::address_bytes_max ||
      advert.held.size() > limits::advert_segments_max ||
      advert.rtts.size() > limits::advert_rtts_max) {
    return fail(errc::over_limit,
                "advert: a name of {} bytes, an address of {}, {} segments and {} round trips, of "
                "which at most {}, {}, {} and {} are allowed; advertise less",
                advert.name.size(), std::max(advert.address.size(), advert.admin_address.size()),
                advert.held.size(), advert.rtts.size(), limits::node_name_bytes_max,
                limits::address_bytes_max, limits::advert_segments_max, limits::advert_rtts_max);
  }
  if (!compute::is_utf8(advert.name) ||
      std::any_of(advert.name.begin(), advert.name.end(), control) ||
      std::any_of(advert.address.begin(), advert.address.end(), outside) ||
      std::any_of(advert.admin_address.begin(), advert.admin_address.end(), outside)) {
    return fail(errc::malformed, "advert: a name must be UTF-8 without control characters, and an "
                                 "address printable ASCII; change them");
  }
  if (!advert.roles.within(member_roles)) {
    return fail(errc::malformed, "advert: roles {:#x} are not those of a member; remove the others",
                advert.roles.bits);
  }
  if (advert.ask_ppm == 0 || advert.ask_ppm > limits::ledger_ask_ppm_max) {
    return fail(errc::malformed, "advert: it asks {} ppm of the rate; 1 to {} are allowed",
                advert.ask_ppm, limits::ledger_ask_ppm_max);
  }
  for (const held_segment& s : advert.held) {
    if (s.layers.first >= s.layers.last || s.layers.last > s.model_layers ||
        s.model_layers > limits::layers_max) {
      return fail(errc::malformed,
                  "advert: layers {} to {} of {} are no segment; state a range within the model",
                  s.layers.first, s.layers.last, s.model_layers);
    }
  }
  return {};
}

std::vector<std::byte> encode_gossip(const gossip_message& message) {
  OVIR_CHECK(message.updates.size() <= limits::gossip_updates_max, message.updates.size());
  writer w{512};
  w.characters(magic).number(static_cast<std::uint8_t>(message.body.index() + 1));
  std::visit(body_writer{w}, message.body);
  w.number(static_cast<std::uint16_t>(message.updates.size()));
  for (const signed_update& u : message.updates) {
    write_update(w, u);
  }
  return w.take();
}

result<gossip_message> decode_gossip(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::gossip_bytes_max) {
    return fail(errc::over_limit,
                "gossip: {} bytes, of which at most {} are allowed; drop the peer", bytes.size(),
                limits::gossip_bytes_max);
  }
  reader r{bytes};
  for (const char c : magic) {
    if (r.number<std::uint8_t>() != static_cast<std::uint8_t>(c)) {
      r.refuse("another format or version");
    }
  }
  gossip_message message;
  message.body = read_body(r);
  // The shortest update is a farewell.
  const std::size_t count =
      r.count(limits::gossip_updates_max, 1 + farewell_bytes + signature_bytes);
  message.updates.reserve(count);
  for (std::size_t i = 0; i < count && r.ok(); ++i) {
    message.updates.push_back(read_update(r));
  }
  if (r.ok() && r.left() != 0) {
    r.refuse("bytes behind its end");
  }
  if (!r.ok()) {
    return fail(errc::malformed, "gossip: {} in {} bytes; drop the peer", r.why(), bytes.size());
  }
  return message;
}

std::size_t encoded_bytes(const signed_update& update) {
  writer w{512};
  write_update(w, update);
  return w.size();
}

signed_advert sign_advert(const secret_key& key, std::uint64_t incarnation, node_advert advert) {
  const auto checked = check_advert(advert);
  OVIR_CHECK(checked.has_value(), checked ? std::string{} : checked.error().message);
  signed_advert a{key.id(), incarnation, std::move(advert), {}};
  a.proof = key.sign(domain_of(a), canonical(a));
  return a;
}

signed_suspicion sign_suspicion(const secret_key& accuser, const node_id& subject,
                                std::uint64_t incarnation) {
  signed_suspicion s{accuser.id(), subject, incarnation, {}};
  s.proof = accuser.sign(domain_of(s), canonical(s));
  return s;
}

signed_farewell sign_farewell(const secret_key& key, std::uint64_t incarnation) {
  signed_farewell f{key.id(), incarnation, {}};
  f.proof = key.sign(domain_of(f), canonical(f));
  return f;
}

life_sign sign_life(const secret_key& target, const node_id& requester, std::uint64_t nonce) {
  life_sign s{nonce, target.id(), requester, {}};
  s.proof = target.sign(domain_of(s), canonical(s));
  return s;
}

bool is_genuine(const signed_update& update) {
  return std::visit([](const auto& u) { return genuine(u); }, update);
}

bool is_genuine(const life_sign& sign) { return genuine(sign); }

} // namespace ovir::actors
