// One member and two keys that no node ever let in: they cannot convict an honest signer, neither
// where its model is not held nor at the keeper of the ledger.
#include "ledger/keeper/message.hpp"
#include "ledger/rules/attest.hpp"
#include "ledger/rules/command.hpp"
#include "ledger/rules/equivocation.hpp"
#include "messages/evidence/receipt.hpp"
#include "tests/hostile/attacked_cluster.hpp"
#include "tests/support/ledger/paid_requests.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace ovir::test {
namespace {

using testing::IsEmpty;

constexpr std::uint64_t credit = paid_cluster::credit;

class hole_01 : public paid_requests {
protected:
  void SetUp() override {
    // "books" keeps the ledger and holds no model; "one" and "two" compute.
    paid_.emplace(paid_cluster::options{.keeper_computes = false});
    attacked::let_in(nodes());
    nodes().start();
    wait_for_ledger();
    where_ = attacked::addresses(nodes());
    paid_->mint("front", 2'000 * credit);
    paid_->mint("two", 300 * credit);
    paid_->stake("two", 300 * credit);
    apps::json answer;
    ASSERT_EQ(paid_->run(++request_, 40, &answer), "") << state();
    receipt_ = attacked::receipt_in(answer);
  }

  [[nodiscard]] test_cluster& nodes() { return paid_->nodes(); }
  [[nodiscard]] std::size_t node(const char* name) { return nodes().index_of(name); }
  /// Requests that "one" and "two" compute, and that are paid for.
  [[nodiscard]] honest_service service() {
    return honest_service{[this] { return paid_->run(++request_, 4); }};
  }
  [[nodiscard]] bool serves_on(const honest_service& service, std::size_t answers = 3) {
    const std::size_t wanted = service.answered() + answers;
    return nodes().wait_until(
               [&] { return service.answered() >= wanted || !service.complaint().empty(); },
               std::chrono::seconds{60}) &&
           service.complaint().empty();
  }
  /// What the keeper answers to this.
  [[nodiscard]] ledger::message keeper_says(hostile_member& asker, const ledger::message& asked) {
    const std::vector<std::byte> bytes = ledger::to_bytes(asked);
    EXPECT_TRUE(asker.control.message(9, static_cast<std::uint32_t>(bytes.size()), bytes));
    while (true) {
      const auto told = ledger::message_from(attacked::hear(asker, 9));
      if (!told || told->id == asked.id) {
        EXPECT_TRUE(told);
        return told ? *told : ledger::message{};
      }
    }
  }

  std::vector<std::string> where_;
  std::vector<std::byte> receipt_;
  std::atomic<std::uint64_t> request_{0};
};

TEST_F(hole_01, an_honest_signer_is_not_put_out_on_the_word_of_keys_that_were_never_let_in) {
  const secret_key first = throwaway(1);
  const secret_key second = throwaway(2);
  const honest_service honest = service();
  ASSERT_TRUE(serves_on(honest)) << honest.complaint();
  const auto lie = accusation_bytes(paid_->secret_of("two").id(), 0, 5, invented("output"),
                                    receipt_, {&first, &second});
  // "books" does not hold the model: it has nothing but others' words to go by.
  const std::size_t books = node("books");
  hostile_member liar = attacked::member(where_.at(books), attacker::worker, 1);
  ASSERT_TRUE(attacked::audit(liar, lie));
  ASSERT_TRUE(nodes().wait_until([&] { // it was looked at
    const apps::json audits = nodes().ask(books, "audits");
    return audits.value("useless", 0) > 0 || !audits.at("convictions").empty();
  })) << nodes().last_words();
  EXPECT_THAT(attacked::convicted(nodes(), books), IsEmpty());
  for (const char* const other : {"front", "one", "two"}) {
    hostile_member again = attacked::member(where_.at(node(other)), attacker::worker, 1);
    EXPECT_TRUE(attacked::audit(again, lie));
  }
  EXPECT_TRUE(serves_on(honest)) << honest.complaint();
  for (std::size_t i = 0; i < nodes().size(); ++i) {
    EXPECT_THAT(attacked::convicted(nodes(), i), IsEmpty()) << nodes().node(i).name;
  }
}

TEST_F(hole_01, one_verifier_and_a_key_of_its_own_take_no_stake) {
  const secret_key judge = attacker_key(attacked::judging);
  const secret_key second = throwaway(3);
  const honest_service honest = service();
  ASSERT_TRUE(serves_on(honest)) << honest.complaint();
  const receipt r = decode_receipt(receipt_).value();
  hostile_member liar = attacked::member(where_.at(node("books")), attacked::judging, 8);
  std::uint64_t id = 70;
  const auto about =
      keeper_says(liar, {++id, ledger::ask_request{ledger::about_of(terms_of(r.asked))}});
  const auto known = std::get<ledger::request_report>(about.body);
  ASSERT_TRUE(known.known);
  const auto rules = keeper_says(liar, {++id, ledger::ask_account{judge.id()}});
  const digest book = std::get<ledger::account_report>(rules.body).head.head.ledger;

  ledger::convict x;
  x.request = known.request;
  x.guilty = paid_->secret_of("two").id();
  x.finder = judge.id();
  x.evidence = invented("evidence");
  for (const secret_key* const key : {&judge, &second}) {
    x.verdicts.push_back(ledger::give_verdict(*key, book, x));
  }
  std::sort(x.verdicts.begin(), x.verdicts.end(),
            [](const auto& a, const auto& b) { return a.verifier < b.verifier; });
  std::vector<std::byte> entry;
  ledger::encode({0, x, {}}, entry);
  const auto convicted = keeper_says(liar, {++id, ledger::submit{entry, {}}});
  EXPECT_TRUE(std::holds_alternative<ledger::refusal>(convicted.body)) << "it was entered";
  // The same by a word for each of them: the second one is not of a verifier.
  ledger::convict word = x;
  word.verdicts = {ledger::give_verdict(second, book, x)};
  const auto vouched = keeper_says(liar, {++id, ledger::vouch{word}});
  EXPECT_TRUE(std::holds_alternative<ledger::refusal>(vouched.body));

  const apps::json two = paid_->account("two");
  EXPECT_EQ(two.at("ejected"), false) << two;
  EXPECT_EQ(of(two, "stake"), (160 + 300) * credit) << two;
  EXPECT_TRUE(serves_on(honest)) << honest.complaint();
  EXPECT_EQ(paid_->verify().at("convictions"), 0U);
}

} // namespace
} // namespace ovir::test
