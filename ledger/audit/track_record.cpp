#include "ledger/audit/track_record.hpp"

#include "ledger/rules/standing.hpp"
#include "messages/limits/ledger.hpp"

#include <algorithm>
#include <cstring>

namespace ovir::ledger {

namespace {

// event = time:u64 node:32 what:u8 0:3 units:u32 check:16, little-endian. `check` is the beginning
// of H(check before, the 48 bytes).
constexpr std::size_t fields_bytes = 48;
constexpr std::size_t check_bytes = 16;
static_assert(fields_bytes + check_bytes == track_event_bytes);

void put(std::span<std::byte> out, std::uint64_t value) {
  for (std::byte& b : out) {
    b = static_cast<std::byte>(value & 0xffU);
    value >>= 8U;
  }
}

std::uint64_t take(std::span<const std::byte> in) {
  std::uint64_t value = 0;
  for (std::size_t i = in.size(); i-- > 0;) {
    value = value << 8U | std::to_integer<std::uint64_t>(in[i]);
  }
  return value;
}

void seal(std::span<std::byte> event, const std::array<std::byte, check_bytes>& before) {
  const digest d =
      hasher{"ovir/audit/v1/track"}.update(before).update(event.first(fields_bytes)).finish();
  std::memcpy(event.data() + fields_bytes, d.bytes.data(), check_bytes);
}

} // namespace

std::array<std::byte, track_event_bytes> encode(const track_event& e,
                                                const std::array<std::byte, 16>& before) {
  std::array<std::byte, track_event_bytes> bytes{};
  const std::span all{bytes};
  put(all.subspan(0, 8), e.time);
  std::memcpy(bytes.data() + 8, e.node.key.data(), e.node.key.size());
  bytes[40] = static_cast<std::byte>(e.what);
  put(all.subspan(44, 4), e.units);
  seal(bytes, before);
  return bytes;
}

result<track_event> decode_track_event(std::span<const std::byte> bytes,
                                       const std::array<std::byte, 16>& before) {
  if (bytes.size() != track_event_bytes) {
    return fail(errc::malformed, "an event of an audit log has {} bytes, this one {}",
                track_event_bytes, bytes.size());
  }
  track_event e;
  e.time = take(bytes.subspan(0, 8));
  std::memcpy(e.node.key.data(), bytes.data() + 8, e.node.key.size());
  const auto what = std::to_integer<std::uint8_t>(bytes[40]);
  e.what = static_cast<work_event>(what);
  e.units = static_cast<std::uint32_t>(take(bytes.subspan(44, 4)));
  const auto canonical = encode(e, before);
  if (what < 1 || what > 6 || !std::equal(canonical.begin(), canonical.end(), bytes.begin())) {
    return fail(errc::malformed, "these 64 bytes are no event of an audit log, or not the next");
  }
  return e;
}

void track_records::apply(const track_event& e) {
  record& r = records_[e.node];
  account& a = r.counts;
  a.last_active = std::max(a.last_active, e.time);
  switch (e.what) {
  case work_event::valid:
    a.assigned_units += e.units;
    a.valid_units += e.units;
    a.consecutive += e.units;
    return;
  case work_event::late:
  case work_event::missing:
  case work_event::wrong:
    a.assigned_units += e.units;
    a.consecutive = 0;
    return;
  case work_event::idle_audit: r.idle = true; return;
  case work_event::convicted:
    a.ejected = true;
    a.consecutive = 0;
    return;
  }
}

const account* track_records::find(const node_id& node) const {
  const auto found = records_.find(node);
  return found == records_.end() ? nullptr : &found->second.counts;
}

std::uint64_t track_records::reputation(const node_id& node, std::uint64_t now) const {
  const account* const a = find(node);
  return a == nullptr ? 0 : reputation_ppm(*a, now, rules_);
}

std::uint64_t track_records::audit_rate(const node_id& node, std::uint64_t least_ppm) const {
  const account* const a = find(node);
  return a == nullptr ? limits::ppm_one : audit_rate_ppm(*a, least_ppm);
}

bool track_records::convicted(const node_id& node) const {
  const account* const a = find(node);
  return a != nullptr && a->ejected;
}

bool track_records::idle_auditor(const node_id& node) const {
  const auto found = records_.find(node);
  return found != records_.end() && found->second.idle;
}

std::vector<node_id> track_records::known() const {
  std::vector<node_id> nodes;
  for (const auto& [node, r] : records_) {
    nodes.push_back(node);
  }
  return nodes;
}

replayed_log replay_track_log(std::span<const std::byte> bytes) {
  replayed_log log;
  while (log.bytes_used + track_event_bytes <= bytes.size()) {
    const auto one = bytes.subspan(log.bytes_used, track_event_bytes);
    const auto e = decode_track_event(one, log.last);
    if (!e) {
      break;
    }
    log.events.push_back(*e);
    std::memcpy(log.last.data(), one.data() + fields_bytes, check_bytes);
    log.bytes_used += track_event_bytes;
  }
  return log;
}

} // namespace ovir::ledger
