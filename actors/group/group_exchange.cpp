#include "actors/group/group_exchange.hpp"

#include "messages/check.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace ovir::actors {

group_exchange::group_exchange(std::uint64_t group, std::uint32_t self, std::size_t members,
                               std::chrono::nanoseconds patience)
    : group_(group), self_(self), patience_(patience), members_(members) {
  OVIR_CHECK(self < members && members <= limits::group_members_max, self, members);
}

void group_exchange::begin(std::uint64_t pass) {
  OVIR_CHECK(!begun_ || pass > pass_, pass, pass_);
  pass_ = pass;
  begun_ = true;
  open_.reset();
  for (member& m : members_) {
    m.previous = std::exchange(m.current, {});
    // A part that came early is of the first step, or of a pass that never was.
    if (m.next.whole && (m.next.header.pass != pass || m.next.header.step != 0)) {
      m.next = {};
    }
  }
}

result<group_header> group_exchange::open(const exchange_step& at, std::uint32_t rows,
                                          std::uint32_t width, bytes own, time_point now) {
  OVIR_CHECK(begun_ && at.pass == pass_ && at.step == (open_ ? open_->step + 1 : 0), at.step);
  OVIR_CHECK(!open_ || complete(), at.step);
  open_ = at;
  needed_ = now;
  for (member& m : members_) {
    if (m.current.whole) {
      m.previous = std::move(m.current);
    }
    m.current = std::exchange(m.next, {});
  }
  const group_header header{at.kind,
                            static_cast<std::uint16_t>(self_),
                            static_cast<std::uint16_t>(rows),
                            at.layer,
                            at.step,
                            width,
                            at.block,
                            group_,
                            at.pass};
  part& mine = members_[self_].current;
  mine.payload = *own;
  mine.whole = std::move(own);
  mine.header = header;
  for (std::uint32_t i = 0; i < members_.size(); ++i) {
    if (members_[i].current.whole && i != self_) {
      OVIR_TRY(check_place(i, members_[i].current.header));
    }
  }
  return header;
}

error group_exchange::refusal(std::uint32_t from, std::string_view what,
                              const group_header& header) const {
  return fail(errc::malformed,
              "member {} of group {} sent {}: kind {} of layer {}, step {} of pass {}", from,
              group_, what, static_cast<unsigned>(header.kind), header.layer, header.step,
              header.pass);
}

// What a step is of follows from its number, and is the same for all.
result<void> group_exchange::check_place(std::uint32_t from, const group_header& header) const {
  const exchange_step& at = *open_;
  if (header.layer != at.layer || header.block != at.block || header.kind != at.kind ||
      header.rows != members_[self_].current.header.rows) {
    return refusal(from, "a part of another step than its number says", header);
  }
  return {};
}

bool group_exchange::is_over(const group_header& header) const noexcept {
  return begun_ &&
         (header.pass < pass_ || (header.pass == pass_ && open_ && header.step < open_->step));
}

// Behind the open step, or the first of the next pass, of which this member does not know yet.
bool group_exchange::is_next(const group_header& header) const noexcept {
  if (begun_ && header.pass == pass_) {
    return header.step == (open_ ? open_->step + 1 : 0);
  }
  return header.step == 0;
}

error group_exchange::contradiction(std::uint32_t from, const group_header& header) const {
  error e = refusal(from, "two parts that contradict each other", header);
  e.code = errc::digest_mismatch;
  return e;
}

namespace {

template <class Part>
bool is_same(const Part& kept, const group_view& message) {
  return kept.header == message.header &&
         std::equal(kept.payload.begin(), kept.payload.end(), message.payload.begin(),
                    message.payload.end());
}

} // namespace

result<group_exchange::received> group_exchange::put(std::uint32_t from, part& where,
                                                     const group_view& message, bytes whole,
                                                     received as) const {
  if (!where.whole) {
    where = {std::move(whole), message.payload, message.header};
    return as;
  }
  if (is_same(where, message)) {
    return received::repeated;
  }
  return contradiction(from, message.header);
}

result<group_exchange::received> group_exchange::receive(std::uint32_t from,
                                                         const group_view& message, bytes whole) {
  const group_header& header = message.header;
  if (from >= members_.size() || from == self_ || header.member != from) {
    return refusal(from, "a part in another's name", header);
  }
  if (header.group != group_ || !crosses(header.kind)) {
    return refusal(from, "something that does not cross in this group", header);
  }
  member& m = members_[from];
  if (is_over(header)) {
    const bool kept = m.previous.whole && m.previous.header.pass == header.pass &&
                      m.previous.header.step == header.step;
    if (kept && !is_same(m.previous, message)) {
      return contradiction(from, header);
    }
    return received::late;
  }
  if (begun_ && open_ && header.pass == pass_ && header.step == open_->step) {
    OVIR_TRY(check_place(from, header));
    return put(from, m.current, message, std::move(whole), received::taken);
  }
  if (!is_next(header)) {
    return refusal(from, "a part of a step that it cannot have come to", header);
  }
  // Of a next pass that is not the one kept: the leader gave up a pass that this member never saw.
  if (m.next.whole && m.next.header.pass < header.pass) {
    m.next = {};
  }
  return put(from, m.next, message, std::move(whole), received::kept);
}

bool group_exchange::complete() const noexcept {
  return open_ && std::all_of(members_.begin(), members_.end(),
                              [](const member& m) { return m.current.whole != nullptr; });
}

std::vector<std::span<const std::byte>> group_exchange::all() const {
  OVIR_CHECK(complete());
  std::vector<std::span<const std::byte>> parts;
  for (const member& m : members_) {
    parts.push_back(m.current.payload);
  }
  return parts;
}

std::optional<group_exchange::time_point> group_exchange::deadline() const noexcept {
  return open_ && !complete() ? std::optional{needed_ + patience_} : std::nullopt;
}

std::vector<std::uint32_t> group_exchange::missing() const {
  std::vector<std::uint32_t> list;
  for (std::uint32_t i = 0; open_ && i < members_.size(); ++i) {
    if (!members_[i].current.whole) {
      list.push_back(i);
    }
  }
  return list;
}

std::optional<error> group_exchange::expired(time_point now) const {
  const auto due = deadline();
  if (!due || now < *due) {
    return std::nullopt;
  }
  std::string names;
  for (const std::uint32_t i : missing()) {
    names += (names.empty() ? "" : ", ") + std::to_string(i);
  }
  return fail(errc::timed_out,
              "of group {} nothing came from member {} for layer {}, step {} of pass {} within {} "
              "ms; the group is formed without it",
              group_, names, open_->layer, open_->step, pass_,
              std::chrono::duration_cast<std::chrono::milliseconds>(patience_).count());
}

} // namespace ovir::actors
