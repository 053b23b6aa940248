#include "learning/kernels/choose.hpp"

#include "messages/check.hpp"

namespace ovir::learning {

const learn_kernels& kernels_for(compute::isa id) noexcept {
  const learn_kernels* found = &kernels_reference();
  switch (id) {
  case compute::isa::avx2: found = avx2::kernels(); break;
  case compute::isa::avx512: found = avx512::kernels(); break;
  default: break;
  }
  OVIR_CHECK(found != nullptr);
  return *found;
}

} // namespace ovir::learning
