// What comes of an accusation, whatever the accused and others say to it.
#include "ledger/rules/hearing.hpp"
#include "messages/limits/audit.hpp"

#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

node_id person(std::uint8_t n) {
  node_id id;
  id.key[0] = n;
  return id;
}
digest some(std::uint32_t n) { return hasher{"ovir/test/hearing"}.update_u32(n).finish(); }
audit_verdict verdict_of(std::uint8_t who, audit_kernels kernels) {
  return {person(who), {kernels, "ovir test"}, {}};
}

class hearings : public ::testing::Test {
protected:
  hearings() {
    draft.guilty = person(1);
    draft.computed = some(1);
    draft.verdicts = {verdict_of(2, audit_kernels::avx512), verdict_of(3, audit_kernels::avx2)};
  }
  template <class Step>
  static const Step* as(const hearing_step& step) {
    return std::get_if<Step>(&step);
  }

  ovir::conviction draft;
};

TEST_F(hearings, begin_with_the_accused_and_its_silence_convicts) {
  hearing h{draft, {person(4)}};
  EXPECT_TRUE(as<tell_accused>(hearing::begin()));
  const hearing_step over = h.silent();
  ASSERT_TRUE(as<hearing_over>(over));
  EXPECT_EQ(as<hearing_over>(over)->what, draft);
}

TEST_F(hearings, an_admission_goes_with_the_conviction) {
  hearing h{draft, {}};
  const audit_admission said{audit_fault::software, {}};
  const auto over = h.admitted(said);
  ASSERT_TRUE(over && as<hearing_over>(*over));
  EXPECT_EQ(as<hearing_over>(*over)->what.admission, said);
  EXPECT_FALSE(h.contested()) << "it had its turn";
}

TEST_F(hearings, a_counter_computation_is_put_before_a_further_host_with_other_kernels) {
  hearing h{draft, {person(2), person(1), person(4), person(5)}};
  const auto asked = h.contested();
  ASSERT_TRUE(asked && as<ask_further>(*asked));
  EXPECT_EQ(as<ask_further>(*asked)->host, person(4)) << "neither a judge nor the accused";
  EXPECT_EQ(as<ask_further>(*asked)->taken,
            (std::vector{audit_kernels::avx2, audit_kernels::avx512}));
  EXPECT_FALSE(h.admitted({})) << "it had its turn";
  EXPECT_FALSE(h.answered(verdict_of(5, audit_kernels::reference), some(1))) << "was not asked";
  const auto over = h.answered(verdict_of(4, audit_kernels::reference), some(1));
  ASSERT_TRUE(over && as<hearing_over>(*over));
  EXPECT_EQ(as<hearing_over>(*over)->what.verdicts.size(), 3U);
}

TEST_F(hearings, a_further_host_that_computes_otherwise_ends_them) {
  hearing h{draft, {person(4)}};
  ASSERT_TRUE(h.contested());
  const auto over = h.answered(verdict_of(4, audit_kernels::reference), some(2));
  ASSERT_TRUE(over);
  EXPECT_TRUE(as<hearing_dropped>(*over));
}

TEST_F(hearings, go_on_to_the_next_host_and_without_one_the_verdicts_stand) {
  hearing h{draft, {person(4), person(5)}};
  ASSERT_TRUE(h.contested());
  const hearing_step next = h.silent();
  ASSERT_TRUE(as<ask_further>(next));
  EXPECT_EQ(as<ask_further>(next)->host, person(5));
  const hearing_step over = h.silent();
  ASSERT_TRUE(as<hearing_over>(over));
  EXPECT_EQ(as<hearing_over>(over)->what, draft);
}

TEST_F(hearings, of_an_equivocation_cannot_be_contested) {
  draft.kind = conviction_kind::equivocation;
  draft.verdicts.clear();
  hearing h{draft, {person(4)}};
  EXPECT_FALSE(h.contested());
  EXPECT_TRUE(h.admitted({}));
}

TEST_F(hearings, the_reference_is_never_taken) {
  EXPECT_TRUE(taken_by(std::vector{verdict_of(2, audit_kernels::reference)}).empty());
}

} // namespace
} // namespace ovir::ledger
