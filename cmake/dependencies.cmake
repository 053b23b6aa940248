# Third-party libraries, all from the distribution (docs/DEPENDENCIES.md). No network.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CapnProto REQUIRED)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
# Used header-only: the distribution's library is built with exceptions, our parser without.
find_path(OVIR_TOML toml++/toml.h REQUIRED)
find_library(OVIR_CAF_CORE caf_core REQUIRED)
add_library(ovir_caf INTERFACE)
target_link_libraries(ovir_caf INTERFACE ${OVIR_CAF_CORE} Threads::Threads)
