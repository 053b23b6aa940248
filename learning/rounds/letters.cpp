#include "learning/rounds/letters.hpp"

#include "messages/wire/fields.hpp"

#include <algorithm>
#include <functional>

namespace ovir::learning {

namespace {

constexpr std::uint8_t round_letter_tag = 0x46;
constexpr std::uint8_t round_letter_version = 1;

template <class Io, class T, class Key>
void expect_sorted(Io& io, const std::vector<T>& list, std::string_view what, Key key) {
  const auto wrong = [&](const T& a, const T& b) { return !(key(a) < key(b)); };
  io.expect(std::adjacent_find(list.begin(), list.end(), wrong) == list.end(), what);
}

const node_id& itself(const node_id& n) { return n; }

} // namespace

template <class Io, of_type<public_key> T>
void fields(Io& io, T& k) {
  for (auto& byte : k.bytes) {
    io(byte);
  }
}

template <class Io, of_type<round_offer> T>
void fields(Io& io, T& x) {
  io(x.task, x.proof);
  io.block(x.adapter, "an adapter", limits::round_adapter_bytes_max);
}

template <class Io, of_type<key_advert> T>
void fields(Io& io, T& x) {
  io(x.task, x.worker, x.mask_key, x.share_key, x.proof);
}

template <class Io, of_type<key_list> T>
void fields(Io& io, T& x) {
  io(x.task);
  io.template list<std::uint32_t>(x.adverts, "adverts", limits::round_members_max);
  expect_sorted(io, x.adverts, "the adverts of a round are not sorted by worker",
                [](const key_advert& a) { return a.worker; });
}

template <class Io, of_type<sealed_share> T>
void fields(Io& io, T& x) {
  io(x.peer);
  for (auto& byte : x.bytes) {
    io(byte);
  }
}

template <class Io, of_type<sealed_shares> T>
void fields(Io& io, T& x) {
  io(x.task, x.worker);
  io.template list<std::uint32_t>(x.to, "sealed shares", limits::round_members_max);
  expect_sorted(io, x.to, "the sealed shares of a round are not sorted by worker",
                [](const sealed_share& s) { return s.peer; });
  io(x.proof);
}

template <class Io, of_type<share_delivery> T>
void fields(Io& io, T& x) {
  io(x.task);
  io.template list<std::uint32_t>(x.from, "sealed shares", limits::round_members_max);
  expect_sorted(io, x.from, "the sealed shares of a round are not sorted by worker",
                [](const sealed_share& s) { return s.peer; });
}

template <class Io, of_type<masked_update> T>
void fields(Io& io, T& x) {
  io(x.task, x.worker, x.commitment);
  io.template list<std::uint32_t>(x.values, "numbers of an update", limits::round_numbers_max);
  io(x.proof);
}

template <class Io, of_type<survivor_list> T>
void fields(Io& io, T& x) {
  io(x.task);
  io.template list<std::uint32_t>(x.survivors, "survivors", limits::round_members_max);
  expect_sorted(io, x.survivors, "the survivors of a round are not sorted", itself);
}

template <class Io, of_type<survivor_vote> T>
void fields(Io& io, T& x) {
  io(x.task, x.worker, x.view, x.proof);
}

template <class Io, of_type<vote_list> T>
void fields(Io& io, T& x) {
  io(x.task);
  io.template list<std::uint32_t>(x.votes, "votes", limits::round_members_max);
  expect_sorted(io, x.votes, "the votes of a round are not sorted by worker",
                [](const survivor_vote& v) { return v.worker; });
}

template <class Io, of_type<opened_share> T>
void fields(Io& io, T& x) {
  io(x.of, x.kind);
  io.expect(x.kind == share_kind::self_mask || x.kind == share_kind::mask_key,
            "a share of an unknown kind");
  for (auto& value : x.values) {
    io(value);
    io.expect(value < share_prime, "a share is not below 2^61 - 1");
  }
}

template <class Io, of_type<opened_shares> T>
void fields(Io& io, T& x) {
  io(x.task, x.worker);
  io.template list<std::uint32_t>(x.shares, "opened shares", limits::round_members_max);
  expect_sorted(io, x.shares, "the opened shares of a round are not sorted by worker, one of each",
                [](const opened_share& s) { return s.of; });
  io(x.proof);
}

template <class Io, of_type<open_update> T>
void fields(Io& io, T& x) {
  io(x.task, x.worker);
  io.template list<std::uint32_t>(x.values, "numbers of an update", limits::round_numbers_max);
  io(x.proof);
}

template <class Io, of_type<round_receipt> T>
void fields(Io& io, T& x) {
  io(x.task, x.worker);
  io.template list<std::uint32_t>(x.survivors, "survivors", limits::round_members_max);
  expect_sorted(io, x.survivors, "the survivors of a round are not sorted", itself);
  io(x.sum, x.adapter, x.rho_bits, x.epsilon_bits, x.proof);
}

template <class Io, of_type<round_end> T>
void fields(Io& io, T& x) {
  io(x.task);
  io.template text<std::uint16_t>(x.reason, "a reason", limits::round_text_bytes_max);
}

namespace {

struct round_letter_body {
  letter of;
};

template <class Io, of_type<round_letter_body> T>
void fields(Io& io, T& x) {
  io.one_of(x.of, "a letter of a round");
}

void update(hasher& h, const node_id& n) { h.update(std::as_bytes(std::span{n.key})); }

} // namespace

std::vector<std::byte> to_bytes(const letter& of) {
  std::vector<std::byte> out;
  byte_writer w{out};
  field_writer io{w};
  io(round_letter_tag, round_letter_version);
  io.one_of(of, {});
  return out;
}

result<letter> letter_from(std::span<const std::byte> bytes) {
  if (bytes.size() > limits::round_letter_bytes_max) {
    return fail(errc::over_limit, "a letter of a round of {} bytes; at most {} are allowed",
                bytes.size(), limits::round_letter_bytes_max);
  }
  OVIR_ASSIGN(round_letter_body body,
              from_tagged<round_letter_body>(bytes, round_letter_tag, round_letter_version,
                                             "letter of a round"));
  return std::move(body.of);
}

digest task_of(const letter& of) {
  return std::visit(
      [](const auto& x) {
        if constexpr (requires { x.task.members; }) {
          return name_of(x.task);
        } else {
          return x.task;
        }
      },
      of);
}

digest name_of(const key_list& keys) {
  std::vector<std::byte> out;
  byte_writer w{out};
  field_writer{w}(keys);
  return hash("ovir/rounds-1/keys", out);
}

digest view_of(const digest& keys, std::span<const node_id> survivors) {
  hasher h{"ovir/rounds-1/view"};
  h.update(keys);
  h.update_u32(static_cast<std::uint32_t>(survivors.size()));
  for (const node_id& n : survivors) {
    update(h, n);
  }
  return h.finish();
}

digest commitment_to(const digest& task, const node_id& worker, const secret32& self_mask) {
  hasher h{"ovir/rounds-1/self-mask"};
  h.update(task);
  update(h, worker);
  return h.update(self_mask.bytes).finish();
}

signature sign_task(const secret_key& key, const round_task& task) {
  const digest name = name_of(task);
  return key.sign("ovir/rounds-1/offer", std::as_bytes(std::span{name.bytes}));
}

bool signed_by_its_coordinator(const round_offer& offer) {
  const digest name = name_of(offer.task);
  return verify(offer.task.coordinator, "ovir/rounds-1/offer", std::as_bytes(std::span{name.bytes}),
                offer.proof);
}

} // namespace ovir::learning
