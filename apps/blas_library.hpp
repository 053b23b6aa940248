#pragma once

#include "compute/forward/dense_forward.hpp"
#include "messages/result.hpp"

#include <string>

/// OpenBLAS, loaded when the profile `fast` is first asked for: whoever computes exactly pays
/// neither its threads nor its memory, and a machine may do without it.
namespace ovir::apps {

struct blas_library {
  compute::float_product product;
  std::string name; ///< version, processor kernels and threads, as it describes itself
};

/// `unsupported` where the library is not installed. OPENBLAS_NUM_THREADS and OPENBLAS_CORETYPE
/// choose its threads and kernels.
[[nodiscard]] result<blas_library> load_blas();

} // namespace ovir::apps
