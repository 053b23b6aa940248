#include "compute/kernels/numerics.hpp"
#include "compute/model/transcript.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace ovir::compute {
namespace {

using testing::HasSubstr;

/// The reference with one function replaced, as a wrong kernel would be.
kernel_set bent(void (*bend)(kernel_set&)) {
  kernel_set set = kernels_reference();
  set.name = "bent";
  bend(set);
  return set;
}

std::string complaint(const kernel_set& set) {
  const auto r = self_test(set);
  EXPECT_FALSE(r);
  if (r) {
    return {};
  }
  EXPECT_EQ(r.error().code, errc::self_test_failed);
  return r.error().message;
}

TEST(self_test, accepts_every_kernel_set_of_this_processor) {
  EXPECT_TRUE(self_test(kernels_reference()));
  for (const kernel_set* set : fast_kernels_here()) {
    const auto r = self_test(*set);
    EXPECT_TRUE(r) << r.error().message;
  }
}

TEST(self_test, notices_one_fused_multiplication_in_the_rotation) {
  const kernel_set set = bent([](kernel_set& s) {
    s.rotate = [](float* x, const float* cs, std::uint32_t pairs) {
      for (std::uint32_t i = 0; i < pairs; ++i, x += 2, cs += 2) {
        const float a = x[0];
        x[0] = __builtin_fmaf(a, cs[0], -(x[1] * cs[1]));
        x[1] = a * cs[1] + x[1] * cs[0];
      }
    };
  });
  EXPECT_THAT(complaint(set), HasSubstr("bent kernels differ from the reference in rotate of"));
}

TEST(self_test, notices_an_integer_product_rounded_twice) {
  const kernel_set set = bent([](kernel_set& s) {
    s.product = [](const weight& w, std::uint32_t first, std::uint32_t last,
                   const quantized_batch& x, float* y, std::size_t stride, preparation*) {
      kernels_reference().product(w, first, last, x, y, stride, nullptr);
      for (std::uint32_t t = 0; t < x.tokens; ++t) {
        if (last - first > 20 && w.type == tensor_type::q4_k) {
          y[t * stride + last - 1] *= 1.0000001F;
        }
      }
    };
  });
  EXPECT_THAT(complaint(set), HasSubstr("product of Q4_K"));
}

TEST(self_test, notices_a_product_that_is_wrong_with_packed_weights_alone) {
  const kernel_set set = bent([](kernel_set& s) {
    s.product = [](const weight& w, std::uint32_t first, std::uint32_t last,
                   const quantized_batch& x, float* y, std::size_t stride, preparation*) {
      kernels_reference().product(w, first, last, x, y, stride, nullptr);
      y[first] += w.packed != nullptr && w.type == tensor_type::q6_k ? 1.0F : 0.0F;
    };
  });
  EXPECT_THAT(complaint(set),
              HasSubstr("bent kernels with packed weights differ from the reference in"));
}

TEST(self_test, notices_a_plain_sum_in_place_of_the_striped_one) {
  const kernel_set set = bent([](kernel_set& s) {
    s.rms_norm = [](const float* x, const float* w, std::uint32_t n, float epsilon, float* y) {
      float ss = 0;
      for (std::uint32_t i = 0; i < n; ++i) {
        ss += x[i] * x[i];
      }
      const float r = 1.0F / __builtin_sqrtf(ss / static_cast<float>(n) + epsilon);
      for (std::uint32_t i = 0; i < n; ++i) {
        y[i] = (x[i] * r) * w[i];
      }
    };
  });
  EXPECT_THAT(complaint(set), HasSubstr("rms_norm of"));
}

TEST(self_test, notices_writes_outside_the_rows_asked_for) {
  const kernel_set set = bent([](kernel_set& s) {
    s.product_float = [](const weight& w, std::uint32_t, std::uint32_t last, const float* x,
                         std::size_t x_stride, std::uint32_t tokens, float* y, std::size_t stride) {
      kernels_reference().product_float(w, 0, last, x, x_stride, tokens, y, stride);
    };
  });
  EXPECT_THAT(complaint(set), HasSubstr("product of F32"));
}

TEST(self_test, notices_an_infinity_that_passes_unseen) {
  const kernel_set set = bent([](kernel_set& s) {
    s.add = [](float* a, const float* b, std::uint32_t n) {
      (void)kernels_reference().add(a, b, n);
      return true;
    };
  });
  EXPECT_THAT(complaint(set), HasSubstr("add of 1, output"));
}

#if defined(__x86_64__)
TEST(rounding_is_exact, sees_flush_to_zero_denormals_are_zero_and_directed_rounding) {
  const unsigned before = _mm_getcsr();
  EXPECT_TRUE(rounding_is_exact());
  for (const unsigned bit : {1U << 6U, 1U << 15U, 1U << 13U, 1U << 14U}) {
    _mm_setcsr(before | bit);
    const bool exact = rounding_is_exact();
    const auto tested = self_test(kernels_reference());
    _mm_setcsr(before);
    EXPECT_FALSE(exact) << bit;
    EXPECT_FALSE(tested) << bit;
  }
  EXPECT_TRUE(rounding_is_exact());
}
#endif

TEST(profile_digest, is_the_one_every_machine_and_compiler_gets) {
  EXPECT_EQ(to_hex(profile_digest()),
            "7c004b2d870f90215ab7d9904114eac44cd46f552c570cf1d10be8e9dc456fca");
}

TEST(profile_digest, is_what_the_profile_is_named_by) {
  EXPECT_EQ(profile_name.substr(0, 8), "exact-1/");
  EXPECT_EQ(profile_name.substr(8), to_hex(profile_digest()).substr(0, 8));
}

TEST(isa, names_are_read_back_and_others_refused_with_the_choice) {
  EXPECT_EQ(*isa_from("reference"), isa::reference);
  EXPECT_EQ(*isa_from("i8mm"), isa::i8mm);
  for (const isa id : fast_isas) {
    EXPECT_EQ(*isa_from(name_of(id)), id);
  }
  const auto r = isa_from("AVX2");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::invalid_argument);
  EXPECT_THAT(r.error().message, HasSubstr("use reference, avx2, avx512, neon, dotprod or i8mm"));
}

TEST(select_kernels, gives_the_set_asked_for_or_says_that_it_cannot) {
  EXPECT_EQ((*select_kernels(isa::reference))->id, isa::reference);
  for (const isa id : fast_isas) {
    const auto r = select_kernels(id);
    if (r) {
      EXPECT_EQ((*r)->id, id);
      EXPECT_TRUE(processor_has(id));
    } else {
      EXPECT_EQ(r.error().code, errc::unsupported);
    }
  }
  const auto best = select_kernels(std::nullopt);
  ASSERT_TRUE(best);
  EXPECT_TRUE(processor_has((*best)->id));
  const auto fast = fast_kernels_here();
  EXPECT_EQ((*best)->id, fast.empty() ? isa::reference : fast.front()->id);
}

} // namespace
} // namespace ovir::compute
