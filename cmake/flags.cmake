# The one place for compiler flags. -ffp-contract=off everywhere: GCC and Clang both fuse a*b+c on
# their own once FMA is enabled, and exact-1 forbids it. Never -ffast-math, never -march=native.
add_library(ovir_flags INTERFACE)
target_compile_options(ovir_flags INTERFACE
  -ffp-contract=off -fno-math-errno -Wall -Wextra -Wconversion -Wno-psabi)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False reports of GCC 12 on std::variant and std::string at -O2 (bugs 105562, 105329 and kin).
  target_compile_options(ovir_flags INTERFACE -Wno-maybe-uninitialized -Wno-restrict
                                              -Wno-array-bounds -Wno-stringop-overflow)
  # In a unity build the names that are local to one source are global to the next one.
  target_compile_options(ovir_flags INTERFACE -Wshadow=local -Wno-subobject-linkage)
  # PCH must not turn on -Winvalid-pch noise, and needs this to be ccache-friendly.
  target_compile_options(ovir_flags INTERFACE -fpch-preprocess)
else()
  target_compile_options(ovir_flags INTERFACE -Wshadow -Xclang -fno-pch-timestamp)
  if(NOT OVIR_SANITIZE) # whose warnings nobody reads
    # In a unity build it takes names of one source for shadowed by the next one's, and GCC warns.
    target_compile_options(ovir_flags INTERFACE -Wno-shadow)
  endif()
endif()
if(OVIR_WARNINGS_AS_ERRORS)
  target_compile_options(ovir_flags INTERFACE -Werror)
endif()
if(OVIR_MUTANTS)
  target_compile_definitions(ovir_flags INTERFACE OVIR_MUTANTS)
  target_compile_options(ovir_flags INTERFACE -O1)
endif()
if(OVIR_SANITIZE)
  # Reports name lines. No debug information of variables and little optimisation, so that the build
  # takes less time.
  target_compile_options(ovir_flags INTERFACE -fsanitize=${OVIR_SANITIZE} -fno-omit-frame-pointer
                                              -fno-sanitize-recover=all -O1 -g1)
  # CAF 0.17.6's headers bind a reference to an empty tuple behind a null pointer whenever an actor
  # without arguments starts (init_fun_factory.hpp); harmless, but it would end every such program. A
  # null pointer of ours that is read or written still ends in AddressSanitizer's report.
  target_compile_options(ovir_flags INTERFACE -fno-sanitize=null)
  target_link_options(ovir_flags INTERFACE -fsanitize=${OVIR_SANITIZE})
endif()
# For code without arithmetic of its own: under sanitizers it compiles faster than it runs. The last
# option counts, so that a target links this after ovir_flags.
add_library(ovir_plain_flags INTERFACE)
if(OVIR_SANITIZE AND NOT OVIR_BUILD_FUZZERS)
  target_compile_options(ovir_plain_flags INTERFACE -O0)
endif()
if(OVIR_BUILD_FUZZERS)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "OVIR_BUILD_FUZZERS needs Clang: use the preset fuzz")
  endif()
  # Coverage for every library; only the fuzz targets link libFuzzer's main (tests/fuzz).
  target_compile_options(ovir_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(ovir_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
set(OVIR_X86_64 OFF)
set(OVIR_AARCH64 OFF)
if(processor MATCHES "^(x86_64|amd64)$")
  set(OVIR_X86_64 ON)
elseif(processor MATCHES "^(aarch64|arm64)$")
  set(OVIR_AARCH64 ON)
  # As on x86-64. Nothing may depend on it, and this way nothing can.
  target_compile_options(ovir_flags INTERFACE -fsigned-char)
endif()

# Instruction sets by file name: x_avx2.cpp, x_avx512.cpp. Such files must not instantiate shared
# inline functions (the linker could pick their copy for every processor): docs/adr/0002-kernels.md.
set(OVIR_FLAGS_AVX2 "-mavx2 -mfma -mf16c")
set(OVIR_FLAGS_AVX512
    "-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni")
set(OVIR_FLAGS_DOTPROD "-march=armv8.2-a+dotprod")
set(OVIR_FLAGS_I8MM "-march=armv8.2-a+dotprod+i8mm")
