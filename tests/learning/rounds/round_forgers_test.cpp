// Coordinators and workers that lie.
#include "learning/rounds/accountant.hpp"
#include "learning/rounds/fixed_point.hpp"
#include "tests/learning/rounds/round_world.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>

namespace ovir::test {
namespace {

using namespace learning;
using ::testing::HasSubstr;

void all_phases(round_world& w, int phases) {
  for (int phase = 0; phase < phases; ++phase) {
    w.exchange([](std::size_t) { return true; });
    w.coordinator->end_phase();
  }
}

letter heard(const round_world& w, std::size_t i) {
  return *w.coordinator->letter_for(w.task.members[i]);
}

/// The worker refuses this letter, with these words, and has left the round afterwards.
void expect_refused(round_worker& worker, const letter& in, const std::string& words) {
  const auto out = worker.take(in);
  ASSERT_FALSE(out);
  EXPECT_THAT(out.error().message, HasSubstr(words));
  EXPECT_TRUE(worker.has_ended());
  const auto again = worker.take(in);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, errc::cancelled);
}

survivor_list without(const round_world& w, std::size_t gone) {
  survivor_list out{name_of(w.task), w.task.members};
  out.survivors.erase(out.survivors.begin() + static_cast<std::ptrdiff_t>(gone));
  return out;
}

TEST(round_forgers, a_live_worker_called_gone_refuses_and_others_open_one_secret_of_it) {
  round_world w{{.seed = 11}};
  all_phases(w, 3);
  const survivor_list lie = without(w, 4);
  expect_refused(*w.workers[4], lie, "it is here");
  vote_list votes{name_of(w.task), {}};
  for (std::size_t i = 0; i < 4; ++i) {
    votes.votes.push_back(std::get<survivor_vote>(w.workers[i]->take(lie).value()));
  }
  for (std::size_t i = 0; i < 4; ++i) {
    const auto opened = std::get<opened_shares>(w.workers[i]->take(votes).value());
    ASSERT_EQ(opened.shares.size(), 5U); // of each worker one share
    for (const opened_share& s : opened.shares) {
      EXPECT_EQ(s.kind, s.of == w.task.members[4] ? share_kind::mask_key : share_kind::self_mask);
    }
    // The other secret of the live worker is asked for by a second list, or by a second opening.
    expect_refused(*w.workers[i], survivor_list{name_of(w.task), w.task.members},
                   "this step of the round does not have");
  }
}

TEST(round_forgers, two_lists_of_survivors_never_get_a_threshold_of_votes_each) {
  round_world w{{.seed = 12}};
  all_phases(w, 3);
  const survivor_list all{name_of(w.task), w.task.members};
  const survivor_list lie = without(w, 4);
  vote_list for_all{name_of(w.task), {}};
  vote_list for_lie{name_of(w.task), {}};
  for (const std::size_t i : {0U, 1U}) {
    for_lie.votes.push_back(std::get<survivor_vote>(w.workers[i]->take(lie).value()));
  }
  for (const std::size_t i : {2U, 3U, 4U}) {
    for_all.votes.push_back(std::get<survivor_vote>(w.workers[i]->take(all).value()));
  }
  EXPECT_TRUE(w.workers[2]->take(for_all));
  expect_refused(*w.workers[0], for_lie, "2 votes");
  // Votes of others for another list, one vote twice, a forged one.
  vote_list mixed = for_lie;
  mixed.votes.push_back(for_all.votes[0]);
  expect_refused(*w.workers[1], mixed, "not for this worker's list");
  vote_list twice{name_of(w.task), {for_all.votes[0], for_all.votes[0], for_all.votes[1]}};
  expect_refused(*w.workers[3], twice, "twice");
  vote_list forged = for_all;
  forged.votes[0].proof.bytes[3] ^= 1U;
  expect_refused(*w.workers[4], forged, "not for this worker's list");
}

TEST(round_forgers, lists_of_survivors_out_of_form_are_refused) {
  const auto refuses = [](const auto& make, const std::string& words) {
    round_world w{{.seed = 13}};
    all_phases(w, 3);
    expect_refused(*w.workers[0], make(w), words);
  };
  refuses(
      [](const round_world& w) {
        return survivor_list{name_of(w.task), {w.task.members[0], w.task.members[1]}};
      },
      "fewer than 3");
  refuses(
      [](const round_world& w) {
        survivor_list list{name_of(w.task), w.task.members};
        list.survivors.push_back(list.survivors.back());
        return list;
      },
      "twice");
  refuses(
      [](const round_world& w) {
        survivor_list list{name_of(w.task), w.task.members};
        list.survivors.back() = node_id{};
        list.survivors.back().key.fill(0xff);
        return list;
      },
      "shared no secrets");
  refuses(
      [](const round_world& w) {
        return survivor_list{digest{}, w.task.members};
      },
      "another round");
}

TEST(round_forgers, key_lists_with_other_keys_are_refused) {
  const auto refuses = [](const auto& change, const std::string& words) {
    round_world w{{.seed = 14}};
    all_phases(w, 1);
    auto keys = std::get<key_list>(heard(w, 0));
    change(w, keys);
    expect_refused(*w.workers[0], keys, words);
  };
  refuses([](const round_world&, key_list& k) { k.adverts[1].mask_key = k.adverts[2].mask_key; },
          "not signed");
  refuses(
      [](const round_world& w, key_list& k) { // a stranger that the coordinator made up
        const secret_key stranger = seeded_key(4711);
        k.adverts[4] = {name_of(w.task), {}, public_of({}), public_of({}), {}};
        sign(k.adverts[4], stranger);
      },
      "not signed by a member");
  refuses(
      [](const round_world& w, key_list& k) { // a member that copies another's key
        k.adverts[1].mask_key = k.adverts[2].mask_key;
        sign(k.adverts[1], w.keys[1]);
      },
      "twice");
  refuses([](const round_world&, key_list& k) { k.adverts.erase(k.adverts.begin()); }, "lacks");
  refuses([](const round_world&, key_list& k) { k.adverts.resize(2); }, "least cohort");
  refuses(
      [](const round_world& w, key_list& k) { // an advert of another round
        k.adverts[1].task.bytes[0] ^= 1U;
        sign(k.adverts[1], w.keys[1]);
      },
      "for this round");
}

TEST(round_forgers, shares_of_strangers_or_too_few_are_refused_and_broken_ones_do_no_harm) {
  {
    round_world w{{.seed = 15}};
    all_phases(w, 2);
    auto delivery = std::get<share_delivery>(heard(w, 0));
    delivery.from[1].peer.key.fill(0xff);
    expect_refused(*w.workers[0], delivery, "not in the list of keys");
  }
  {
    round_world w{{.seed = 15}};
    all_phases(w, 2);
    auto delivery = std::get<share_delivery>(heard(w, 0));
    delivery.from.resize(1);
    expect_refused(*w.workers[0], delivery, "fewer than 3");
  }
  round_world w{{.seed = 16}};
  all_phases(w, 1);
  for (std::size_t i = 0; i < 5; ++i) {
    auto shares = std::get<sealed_shares>(w.workers[i]->take(heard(w, i)).value());
    if (i == 2) { // all but one of its shares are junk
      for (std::size_t k = 1; k < 4; ++k) {
        shares.to[k].bytes[7] ^= 1U;
      }
      sign(shares, w.keys[i]);
    }
    ASSERT_TRUE(w.coordinator->take(w.keys[i].id(), shares));
  }
  w.coordinator->end_phase();
  all_phases(w, 3);
  // Two shares of three are left of its secret: no sum, rather than a wrong one.
  EXPECT_EQ(w.coordinator->phase(), round_phase::failed);
  EXPECT_THAT(w.coordinator->reason(), HasSubstr("2 workers have a share"));
}

TEST(round_forgers, a_worker_that_opens_a_wrong_share_is_left_out_of_the_rebuilding) {
  round_world w{{.seed = 17}};
  all_phases(w, 4);
  for (std::size_t i = 0; i < 5; ++i) {
    auto opened = std::get<opened_shares>(w.workers[i]->take(heard(w, i)).value());
    if (i == 1) {
      for (opened_share& s : opened.shares) {
        s.values[0] ^= 1U;
      }
      sign(opened, w.keys[i]);
    }
    ASSERT_TRUE(w.coordinator->take(w.keys[i].id(), opened));
  }
  w.coordinator->end_phase();
  ASSERT_EQ(w.coordinator->phase(), round_phase::summed) << w.coordinator->reason();
  EXPECT_EQ(w.coordinator->outcome().sum, w.sum_of(w.task.members));
}

/// What a coordinator says of `in` from worker 0 in this phase; its state is the same afterwards.
error refusal(round_world& w, const letter& in, std::size_t from = 0) {
  const std::size_t before = w.coordinator->answered();
  const auto taken = w.coordinator->take(w.keys[from].id(), in);
  EXPECT_FALSE(taken);
  EXPECT_EQ(w.coordinator->answered(), before);
  return taken ? error{} : taken.error();
}

TEST(round_forgers, a_second_update_replays_and_wrong_sizes_change_no_sum) {
  round_world w{{.seed = 18}};
  all_phases(w, 2);
  auto update = std::get<masked_update>(w.workers[0]->take(heard(w, 0)).value());
  auto shorter = update;
  shorter.values.pop_back();
  EXPECT_EQ(refusal(w, shorter).code, errc::digest_mismatch); // its signature is of other bytes
  sign(shorter, w.keys[0]);
  EXPECT_THAT(refusal(w, shorter).message, HasSubstr("39 numbers"));
  EXPECT_THAT(refusal(w, update, 1).message, HasSubstr("name of another"));
  ASSERT_TRUE(w.coordinator->take(w.keys[0].id(), update));
  ASSERT_TRUE(w.coordinator->take(w.keys[0].id(), update)); // again: not added again
  auto second = update;
  second.values[0] += 1;
  sign(second, w.keys[0]);
  EXPECT_EQ(refusal(w, second).code, errc::superseded);
  open_update plain{name_of(w.task), {}, wrapped(w.units[0]), {}};
  sign(plain, w.keys[1]);
  EXPECT_THAT(refusal(w, plain, 1).message, HasSubstr("do not send in this round"));
  for (std::size_t i = 1; i < 5; ++i) {
    ASSERT_TRUE(w.coordinator->take(w.keys[i].id(), w.workers[i]->take(heard(w, i)).value()));
  }
  w.coordinator->end_phase();
  EXPECT_EQ(refusal(w, w.sent[0][0], 1).code, errc::malformed);
  EXPECT_TRUE(w.coordinator->take(w.keys[0].id(), w.sent[0][0])); // an old letter, the same
  all_phases(w, 2);
  ASSERT_EQ(w.coordinator->phase(), round_phase::summed) << w.coordinator->reason();
  EXPECT_EQ(w.coordinator->outcome().sum, w.sum_of(w.task.members));
}

TEST(round_forgers, letters_of_other_rounds_strangers_and_late_ones_are_refused) {
  round_world w{{.seed = 19}};
  round_world other{{.seed = 20}};
  EXPECT_EQ(refusal(w, other.workers[0]->advert()).code, errc::malformed);
  const secret_key stranger = seeded_key(4711);
  key_advert advert{name_of(w.task),
                    {},
                    public_of(drawn_secret(seeded_source(1))),
                    public_of(drawn_secret(seeded_source(2))),
                    {}};
  sign(advert, stranger);
  EXPECT_FALSE(w.coordinator->take(stranger.id(), advert));
  w.exchange([](std::size_t i) { return i != 4; });
  auto copied = std::get<key_advert>(w.workers[4]->advert());
  copied.mask_key = std::get<key_advert>(w.workers[0]->advert()).mask_key;
  sign(copied, w.keys[4]);
  EXPECT_THAT(refusal(w, copied, 4).message, HasSubstr("advertises a key of"));
  w.coordinator->end_phase();
  EXPECT_EQ(refusal(w, w.workers[4]->advert(), 4).code, errc::timed_out);
  ASSERT_TRUE(std::holds_alternative<round_end>(heard(w, 4)));
  auto shares = std::get<sealed_shares>(w.workers[0]->take(heard(w, 0)).value());
  shares.to.pop_back();
  sign(shares, w.keys[0]);
  EXPECT_THAT(refusal(w, shares).message, HasSubstr("not one for each"));
}

TEST(round_forgers, an_opening_of_the_other_secret_is_refused) {
  round_world w{{.seed = 21}};
  all_phases(w, 4);
  auto opened = std::get<opened_shares>(w.workers[0]->take(heard(w, 0)).value());
  opened.shares[2].kind = share_kind::mask_key;
  sign(opened, w.keys[0]);
  EXPECT_THAT(refusal(w, opened).message, HasSubstr("not asked for"));
}

TEST(round_forgers, a_sum_that_no_updates_add_up_to_is_no_sum) {
  round_world w{{.seed = 22}};
  all_phases(w, 2);
  for (std::size_t i = 0; i < 5; ++i) {
    auto update = std::get<masked_update>(w.workers[i]->take(heard(w, i)).value());
    if (i == 3) {
      update.values[5] += std::uint64_t{1} << 62U;
      sign(update, w.keys[i]);
    }
    ASSERT_TRUE(w.coordinator->take(w.keys[i].id(), update));
  }
  w.coordinator->end_phase();
  all_phases(w, 2);
  EXPECT_EQ(w.coordinator->phase(), round_phase::failed);
  EXPECT_THAT(w.coordinator->reason(), HasSubstr("no updates of 5 workers add up to"));
}

TEST(round_forgers, offers_outside_the_terms_are_refused) {
  round_world w{{.seed = 23}};
  const node_id self = w.task.members[0];
  ASSERT_TRUE(check_offer(w.offer(), self, w.terms()));
  const auto refuses = [&](const round_offer& offer, const worker_terms& terms,
                           const std::string& words) {
    const auto checked = check_offer(offer, self, terms);
    ASSERT_FALSE(checked) << words;
    EXPECT_THAT(checked.error().message, HasSubstr(words));
  };
  const auto changed = [&](const auto& change) {
    round_offer offer = w.offer();
    change(offer.task);
    offer.proof = sign_task(w.coordinator_key, offer.task);
    return offer;
  };
  worker_terms terms = w.terms();
  terms.accepted.pop_back();
  refuses(w.offer(), terms, "not in this worker's list");
  terms = w.terms();
  terms.epsilon_max = epsilon_of(w.task) * 0.99;
  refuses(w.offer(), terms, "an epsilon of");
  terms = w.terms();
  terms.coordinator = w.task.members[1];
  refuses(w.offer(), terms, "not signed by the coordinator");
  round_offer forged = w.offer();
  forged.task.clip_units = 2;
  refuses(forged, w.terms(), "not signed by the coordinator");
  forged = w.offer();
  forged.adapter.push_back(std::byte{1});
  refuses(forged, w.terms(), "not the one that the task names");
  refuses(changed([](round_task& t) { t.threshold = 2; }), w.terms(), "threshold");
  refuses(changed([](round_task& t) { t.threshold = 4; }), w.terms(), "threshold");
  refuses(changed([](round_task& t) { t.noise_variance = 0; }), w.terms(), "noise");
  refuses(changed([](round_task& t) { t.drop_outs = 4; }), w.terms(), "two honest ones");
  refuses(changed([](round_task& t) { t.drop_outs = ~0U; }), w.terms(), "two honest ones");
  refuses(changed([](round_task& t) { t.colluders = ~0U; }), w.terms(), "two honest ones");
  refuses(changed([](round_task& t) { t.numbers = limits::round_numbers_max + 1; }), w.terms(),
          "numbers");
  refuses(changed([](round_task& t) { std::swap(t.members[0], t.members[1]); }), w.terms(),
          "sorted");
  refuses(changed([](round_task& t) {
            t.members.erase(t.members.begin());
            t.drop_outs = 1;
          }),
          w.terms(), "no member");
  refuses(changed([](round_task& t) {
            t.mode = round_mode::open;
            t.threshold = 0;
            t.noise_variance = 0;
          }),
          w.terms(), "the round is open");
}

TEST(round_forgers, receipts_of_others_or_with_another_epsilon_are_refused) {
  round_world w{{.seed = 24}};
  round_receipt receipt{name_of(w.task),
                        {},
                        w.task.members,
                        {},
                        {},
                        std::bit_cast<std::uint64_t>(rho_of(least_noise(w.task))),
                        std::bit_cast<std::uint64_t>(epsilon_of(w.task)),
                        {}};
  sign(receipt, w.coordinator_key);
  EXPECT_TRUE(check_receipt(w.task, receipt));
  round_receipt other = receipt;
  sign(other, w.keys[0]);
  EXPECT_EQ(check_receipt(w.task, other).error().code, errc::digest_mismatch);
  other = receipt;
  other.sum.bytes[0] ^= 1U;
  EXPECT_EQ(check_receipt(w.task, other).error().code, errc::digest_mismatch);
  other = receipt;
  other.epsilon_bits = std::bit_cast<std::uint64_t>(epsilon_of(w.task) / 2);
  sign(other, w.coordinator_key);
  EXPECT_THAT(check_receipt(w.task, other).error().message, HasSubstr("epsilon"));
  other = receipt;
  other.survivors.resize(2);
  sign(other, w.coordinator_key);
  EXPECT_THAT(check_receipt(w.task, other).error().message, HasSubstr("no cohort"));
}

} // namespace
} // namespace ovir::test
