#pragma once

#include "actors/members/advert.hpp"
#include "messages/limits/crowd.hpp"
#include "messages/limits/general.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <variant>
#include <vector>

/// The bytes of gossip: docs/formats/gossip.md. Our own strict layout instead of Cap'n Proto,
/// because most of it is signed, and a signature needs one encoding for each value.
namespace ovir::actors {

/// What a node says of itself; signed by it over canonical bytes.
struct signed_advert {
  node_id node;
  std::uint64_t incarnation{0};
  node_advert advert;
  signature proof;

  friend bool operator==(const signed_advert&, const signed_advert&) = default;
};

/// `accuser` did not reach `subject`; signed by the accuser. Only a reason to look: nobody is
/// removed because of another's word.
struct signed_suspicion {
  node_id accuser;
  node_id subject;
  std::uint64_t incarnation{0}; ///< the subject's, as the accuser knows it

  signature proof;

  friend bool operator==(const signed_suspicion&, const signed_suspicion&) = default;
};

/// `node` leaves; signed by it.
struct signed_farewell {
  node_id node;
  std::uint64_t incarnation{0};
  signature proof;

  friend bool operator==(const signed_farewell&, const signed_farewell&) = default;
};

using signed_update = std::variant<signed_advert, signed_suspicion, signed_farewell>;

/// Whom an update is about.
[[nodiscard]] const node_id& subject_of(const signed_update& update) noexcept;
[[nodiscard]] std::uint64_t incarnation_of(const signed_update& update) noexcept;

// The bodies of gossip. What is not signed holds between the two ends of a link, which know each
// other's keys.
struct ping {
  std::uint64_t nonce{0};

  friend bool operator==(const ping&, const ping&) = default;
};
struct ping_answer {
  std::uint64_t nonce{0};

  friend bool operator==(const ping_answer&, const ping_answer&) = default;
};
/// "Ask `target` for a sign of life for me."
struct probe_order {
  std::uint64_t nonce{0};
  node_id target;

  friend bool operator==(const probe_order&, const probe_order&) = default;
};
/// "`requester` wants a sign of life of you."
struct relayed_ping {
  std::uint64_t nonce{0};
  node_id requester;

  friend bool operator==(const relayed_ping&, const relayed_ping&) = default;
};
/// A sign of life, signed by `target`, so that whoever carries it cannot invent it.
struct life_sign {
  std::uint64_t nonce{0};
  node_id target;
  node_id requester;
  signature proof;

  friend bool operator==(const life_sign&, const life_sign&) = default;
};
/// One line of a summary: a claim that only decides what is sent, never what is believed.
struct known_node {
  node_id node;
  std::uint64_t incarnation{0};
  bool counted{true}; ///< not dead and not left

  friend bool operator==(const known_node&, const known_node&) = default;
};
/// Some of limits::gossip_buckets.
using bucket_set = std::bitset<limits::gossip_buckets>;
/// The bucket of a node: the first byte of its key.
[[nodiscard]] inline std::size_t bucket_of(const node_id& node) noexcept { return node.key[0]; }

/// The first 8 bytes of its key.
[[nodiscard]] inline std::uint64_t head_of(const node_id& node) noexcept {
  std::uint64_t head = 0;
  std::memcpy(&head, node.key.data(), sizeof head);
  return head;
}

/// Everything the sender knows of these buckets, without the adverts.
struct summary {
  bool answer_wanted{false}; ///< with a summary, where the receiver lacks something
  std::vector<known_node> nodes;
  bucket_set buckets = bucket_set{}.set();

  friend bool operator==(const summary&, const summary&) = default;
};
/// A sum for each bucket of the members the sender counts: where the receiver's differ, it answers
/// with a summary. Salted, so that nobody makes members that go unnoticed.
struct digests {
  std::uint64_t salt{0};
  std::vector<std::uint32_t> sums = std::vector<std::uint32_t>(limits::gossip_buckets);

  friend bool operator==(const digests&, const digests&) = default;
};
/// The sender closes this link because it needs it no longer. It is well.
struct parting {
  friend bool operator==(const parting&, const parting&) = default;
};
/// Tokens that let nodes in by invitation, and revocations (docs/formats/join-token.md): all
/// members are to hear of them. Not looked at here.
struct notices {
  std::vector<std::vector<std::byte>> tokens; ///< at most limits::notices_max

  friend bool operator==(const notices&, const notices&) = default;
};
/// What came to the sender lately, as marks: the receiver tells what is not among them, and asks
/// for what it does not know (member_latest.hpp). Salted, as digests are.
struct latest {
  std::uint64_t salt{0};
  std::vector<std::uint32_t> marks; ///< at most limits::latest_marks_max

  friend bool operator==(const latest&, const latest&) = default;
};
/// One accuser's word in a `told_case`: its key by the first 8 bytes, since it is a member.
struct accuser_word {
  std::uint64_t accuser{0};
  signature proof;

  friend bool operator==(const accuser_word&, const accuser_word&) = default;
};
/// Suspicions of one node at one incarnation.
struct told_case {
  std::uint64_t subject{0}; ///< the first 8 bytes of its key, for the same reason
  std::uint64_t incarnation{0};
  std::vector<accuser_word> words; ///< at most limits::accusers_min

  friend bool operator==(const told_case&, const told_case&) = default;
};
/// Answers `latest` or another answer: beside its updates, what the sender wants and counts, by
/// marks. Each at most limits::latest_answer_max, counted ones limits::latest_marks_max.
struct latest_answer {
  std::uint64_t salt{0};
  std::vector<std::uint32_t> wanted;
  std::vector<std::uint32_t> counted; ///< marks of the list that the sender counts
  std::vector<told_case> cases;

  friend bool operator==(const latest_answer&, const latest_answer&) = default;
};
/// Nothing but updates.
struct news {
  friend bool operator==(const news&, const news&) = default;
};

using gossip_body = std::variant<ping, ping_answer, probe_order, relayed_ping, life_sign, summary,
                                 news, digests, parting, notices, latest, latest_answer>;

struct gossip_message {
  gossip_body body;
  std::vector<signed_update> updates;
  std::vector<known_node> counted{}; ///< what the sender has begun to count, for its neighbours

  friend bool operator==(const gossip_message&, const gossip_message&) = default;
};

/// Whether an advert keeps to its bounds: limits::advert_*, name and address as text that can be
/// printed, layers in order, roles of a member. `over_limit` or `malformed`.
[[nodiscard]] result<void> check_advert(const node_advert& advert);

/// Precondition: `check_advert` passes for every advert, and the numbers of nodes and updates are
/// within limits::gossip_nodes_max, limits::gossip_counted_max and limits::gossip_updates_max.
[[nodiscard]] std::vector<std::byte> encode_gossip(const gossip_message& message);
/// `over_limit` above limits::gossip_bytes_max, else `malformed` for all but the one encoding of a
/// message. Signatures are not looked at.
[[nodiscard]] result<gossip_message> decode_gossip(std::span<const std::byte> bytes);
/// Bytes an update takes in a message.
[[nodiscard]] std::size_t encoded_bytes(const signed_update& update);

// Signing: over the canonical bytes, each kind under a domain of its own. `advert` as for
// `encode_gossip`.
[[nodiscard]] signed_advert sign_advert(const secret_key& key, std::uint64_t incarnation,
                                        node_advert advert);
[[nodiscard]] signed_suspicion sign_suspicion(const secret_key& accuser, const node_id& subject,
                                              std::uint64_t incarnation);
[[nodiscard]] signed_farewell sign_farewell(const secret_key& key, std::uint64_t incarnation);
[[nodiscard]] life_sign sign_life(const secret_key& target, const node_id& requester,
                                  std::uint64_t nonce);
/// Whether the one who should have signed it did.
[[nodiscard]] bool is_genuine(const signed_update& update);
[[nodiscard]] bool is_genuine(const life_sign& sign);

} // namespace ovir::actors
