#include "apps/blas_library.hpp"

#include <cblas.h>
#include <dlfcn.h>

namespace ovir::apps {

result<blas_library> load_blas() {
  // Never unloaded: its threads live as long as the program.
  void* const library = ::dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return fail(errc::unsupported,
                "the profile fast needs OpenBLAS, and this machine has none ({}); install "
                "libopenblas0",
                ::dlerror());
  }
  const auto multiply = reinterpret_cast<decltype(&cblas_sgemm)>(::dlsym(library, "cblas_sgemm"));
  const auto config =
      reinterpret_cast<decltype(&openblas_get_config)>(::dlsym(library, "openblas_get_config"));
  const auto core =
      reinterpret_cast<decltype(&openblas_get_corename)>(::dlsym(library, "openblas_get_corename"));
  const auto threads = reinterpret_cast<decltype(&openblas_get_num_threads)>(
      ::dlsym(library, "openblas_get_num_threads"));
  if (multiply == nullptr || config == nullptr || core == nullptr || threads == nullptr) {
    return fail(errc::unsupported, "libopenblas.so.0 is no OpenBLAS; install libopenblas0");
  }
  const std::string version{config()};
  return blas_library{
      [multiply](const compute::float_product_task& t) {
        const auto size = [](std::size_t n) { return static_cast<blasint>(n); };
        multiply(CblasRowMajor, CblasNoTrans, CblasTrans, size(t.m), size(t.n), size(t.k), 1.0F,
                 t.a, size(t.lda), t.b, size(t.ldb), 0.0F, t.c, size(t.ldc));
      },
      fmt::format("{} {} {} threads", version.substr(0, version.find(' ', 9)), core(), threads())};
}

} // namespace ovir::apps
