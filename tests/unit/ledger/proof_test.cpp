#include "ledger/rules/proof.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"

#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

using test::ledger_world;

/// A ledger of 40 entries, and heads its keeper signed on the way.
class ledger_proof : public testing::Test {
protected:
  ledger_proof() : book(ledger::create(disk, ledger_world::rules(), ledger_world::t0, {}).value()) {
    ledger_world world{book.id()};
    for (std::uint64_t n = 1; n < 40; ++n) {
      const auto one = world.mint(1, n * credit);
      EXPECT_TRUE(book.commit(std::span{&one, 1}, ledger_world::t0 + n));
      heads.push_back(sign(keeper, book.head()));
    }
  }

  [[nodiscard]] entry_proof entry_at(std::uint64_t index, const signed_head& head) const {
    return {book.log().entry_at(index).value(), book.prove(index, head.head.size).value(), head};
  }
  [[nodiscard]] consistency between(const signed_head& a, const signed_head& b) const {
    return {a, b, book.prove_consistency(a.head.size, b.head.size).value()};
  }

  secret_key keeper = ledger_world::key(ledger_world::keeper);
  test::memory_file disk;
  ledger book;
  std::vector<signed_head> heads; ///< of 2, 3, ... 40 entries
};

template <class Proof>
bool right(const Proof& p) {
  const auto again = proof_from(to_bytes(p));
  return again && check_proof(*again).empty() && check_proof(any_proof{p}).empty();
}

TEST_F(ledger_proof, what_the_ledger_proves_is_right_at_every_size) {
  for (const signed_head& a : heads) {
    ASSERT_TRUE(right(a));
    ASSERT_TRUE(right(entry_at(a.head.size / 2, a)));
    ASSERT_TRUE(right(book.acknowledge(a.head.size - 1, a).value()));
    for (const signed_head& b : heads) {
      if (a.head.size <= b.head.size) {
        ASSERT_TRUE(right(between(a, b))) << a.head.size << " " << b.head.size;
      }
    }
  }
}

// The forger has the keeper's key or one of its own, knows the format, and computes every digest
// again. It can sign anything; it cannot make two things fit that do not.
TEST_F(ledger_proof, a_forger_with_the_keepers_key_proves_no_entry_that_is_not_there) {
  const signed_head& head = heads.back();
  entry_proof changed = entry_at(7, head);
  changed.entry.back() ^= std::byte{1};
  EXPECT_FALSE(right(changed)) << "another entry under the leaf";
  changed.in.leaf = leaf_hash(changed.entry);
  EXPECT_FALSE(right(changed)) << "with its own leaf";
  entry_proof moved = entry_at(7, head);
  moved.in.index = 8;
  EXPECT_FALSE(right(moved));
  moved = entry_at(7, head);
  moved.in.path.pop_back();
  EXPECT_FALSE(right(moved));
  moved = entry_at(7, head);
  moved.in.path.push_back(digest{});
  EXPECT_FALSE(right(moved));
  // An inner node for a leaf: the domains differ.
  entry_proof inner = entry_at(6, head);
  const digest sibling = entry_at(7, head).in.leaf;
  inner.entry.assign(64, std::byte{0});
  std::copy_n(std::as_bytes(std::span{inner.in.leaf.bytes}).begin(), 32, inner.entry.begin());
  std::copy_n(std::as_bytes(std::span{sibling.bytes}).begin(), 32, inner.entry.begin() + 32);
  inner.in.leaf = leaf_hash(inner.entry);
  inner.in.path.erase(inner.in.path.begin());
  EXPECT_FALSE(right(inner));
}

TEST_F(ledger_proof, a_rewritten_log_has_no_proof_that_it_grew) {
  // The same history with one amount changed, signed with the same key.
  test::memory_file other_disk;
  ledger other = ledger::create(other_disk, ledger_world::rules(), ledger_world::t0, {}).value();
  ledger_world world{other.id()};
  for (std::uint64_t n = 1; n < 40; ++n) {
    const auto one = world.mint(1, (n == 5 ? 99 : n) * credit);
    ASSERT_TRUE(other.commit(std::span{&one, 1}, ledger_world::t0 + n));
  }
  const signed_head forged = sign(keeper, other.head());
  for (const signed_head& seen : heads) {
    consistency c{seen, forged, other.prove_consistency(seen.head.size, 40).value()};
    const bool before_the_change = seen.head.size <= 5;
    EXPECT_EQ(right(c), before_the_change) << seen.head.size;
    c.path = book.prove_consistency(seen.head.size, 40).value();
    EXPECT_FALSE(right(c) && !before_the_change) << seen.head.size;
  }
  EXPECT_TRUE(right(fork_evidence{heads.back(), forged, {}, {}})) << "and both heads convict";
  EXPECT_FALSE(right(fork_evidence{heads.back(), heads.back(), {}, {}}));
}

TEST_F(ledger_proof, a_head_that_somebody_else_signed_is_nobodys_word) {
  signed_head stolen = sign(ledger_world::key(77), heads.back().head);
  stolen.signatures.front().keeper = keeper.id();
  EXPECT_FALSE(right(stolen));
  EXPECT_FALSE(right(between(heads.front(), stolen)));
  EXPECT_FALSE(right(between(stolen, stolen)));
  EXPECT_FALSE(right(entry_at(3, stolen)));
  // Its own key is its own ledger's keeper, not this one's.
  const signed_head own = sign(ledger_world::key(77), heads.back().head);
  EXPECT_TRUE(right(own)) << "whose word counts is for the caller to say";
  EXPECT_TRUE(right(between(heads.front(), own))) << "likewise: the log did grow";
  EXPECT_FALSE(right(entry_at(0, own))) << "but the first entry says who the keepers are";
  EXPECT_TRUE(right(entry_at(0, heads.back())));
  signed_head elsewhere = heads.back();
  elsewhere.head.ledger.bytes[0] ^= 1;
  EXPECT_FALSE(right(between(heads.front(), sign(keeper, elsewhere.head))));
}

TEST_F(ledger_proof, the_first_entry_is_the_one_that_gives_the_ledger_its_name) {
  // Keepers of their own rules, under a head with this ledger's name.
  genesis others = ledger_world::rules();
  others.keepers = {ledger_world::node(77)};
  entry_proof forged;
  encode(entry{ledger_world::t0, others, {}}, forged.entry);
  forged.in = {0, leaf_hash(forged.entry), {}};
  log_head head = heads.back().head;
  head.size = 1;
  head.root = forged.in.leaf;
  forged.head = sign(ledger_world::key(77), head);
  EXPECT_FALSE(right(forged));
  forged.head.head.ledger = forged.in.leaf;
  forged.head = sign(ledger_world::key(77), forged.head.head);
  EXPECT_TRUE(right(forged)) << "under its own name it is another ledger";
}

TEST_F(ledger_proof, a_flipped_bit_in_any_byte_of_a_proof_is_noticed) {
  for (const std::vector<std::byte>& sound :
       {to_bytes(entry_at(11, heads.back())), to_bytes(between(heads[4], heads.back())),
        to_bytes(heads.back()), to_bytes(book.acknowledge(9, heads.back()).value())}) {
    for (std::size_t at = 0; at < sound.size(); ++at) {
      const std::size_t bit = at * 8 + at % 8;
      std::vector<std::byte> bytes = sound;
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
      const auto p = proof_from(bytes);
      ASSERT_FALSE(p && check_proof(*p).empty()) << "bit " << bit << " of " << sound.size() * 8;
    }
    for (std::size_t size = 0; size < sound.size(); ++size) {
      ASSERT_FALSE(proof_from(std::span{sound}.first(size))) << size;
    }
  }
}

} // namespace
} // namespace ovir::ledger
