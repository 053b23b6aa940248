# Programs for aarch64 by Debian's cross compiler, with the libraries that `scripts/setup cross`
# unpacks into build/cross/aarch64. What the build runs of its own runs under qemu-user; Cap'n Proto's
# generators are this system's.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

get_filename_component(ovir_source ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)
set(ovir_sysroot ${ovir_source}/build/cross/aarch64)
if(NOT EXISTS ${ovir_sysroot}/usr/include)
  message(FATAL_ERROR "no libraries of aarch64 in ${ovir_sysroot}: run scripts/setup cross")
endif()
set(CMAKE_SYSROOT ${ovir_sysroot})
set(CMAKE_FIND_ROOT_PATH ${ovir_sysroot})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${ovir_sysroot})
set(ENV{PKG_CONFIG_LIBDIR}
    ${ovir_sysroot}/usr/lib/aarch64-linux-gnu/pkgconfig:${ovir_sysroot}/usr/share/pkgconfig)

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L ${ovir_sysroot})
find_program(CAPNP_EXECUTABLE capnp REQUIRED NO_CMAKE_FIND_ROOT_PATH)
find_program(CAPNPC_CXX_EXECUTABLE capnpc-c++ REQUIRED NO_CMAKE_FIND_ROOT_PATH)
