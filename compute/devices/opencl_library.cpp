#include "compute/devices/opencl_library.hpp"

#include <utility>

#if __has_include(<CL/cl.h>)
#include "compute/devices/opencl_device.hpp"

#include <dlfcn.h>

#include <type_traits>

namespace ovir::compute {

struct opencl_library::parts {
  const opencl_calls* calls{nullptr};
  std::vector<opencl_place> places;
  std::vector<device_facts> facts;
};

namespace {

/// Null where a function is missing.
const opencl_calls* calls_of(void* library) {
  // Like the library itself for the life of the process: it has the same content every time.
  static const opencl_calls calls = [library] {
    opencl_calls found;
    const auto find = [&](auto& member, const char* name) {
      using pointer = std::remove_reference_t<decltype(member)>;
      member = reinterpret_cast<pointer>(::dlsym(library, name));
    };
#define OVIR_OPENCL_FIND(name) find(found.name, "cl" #name);
    OVIR_OPENCL_CALLS(OVIR_OPENCL_FIND)
#undef OVIR_OPENCL_FIND
    return found;
  }();
  bool all = true;
#define OVIR_OPENCL_THERE(name) all = all && calls.name != nullptr;
  OVIR_OPENCL_CALLS(OVIR_OPENCL_THERE)
#undef OVIR_OPENCL_THERE
  return all ? &calls : nullptr;
}

} // namespace

result<opencl_library> opencl_library::load() {
  void* const library = ::dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return fail(errc::unsupported,
                "this machine has no OpenCL library ({}); install ocl-icd-libopencl1 and the "
                "driver of the device",
                ::dlerror());
  }
  auto all = std::make_unique<parts>();
  all->calls = calls_of(library);
  if (all->calls == nullptr) {
    return fail(errc::unsupported,
                "libOpenCL.so.1 lacks functions of OpenCL 1.2; install ocl-icd-libopencl1");
  }
  all->places = find_opencl_devices(*all->calls);
  for (const opencl_place& place : all->places) {
    all->facts.push_back(place.facts);
  }
  return opencl_library{std::move(all)};
}

result<std::unique_ptr<device>> opencl_library::open(std::size_t index, program_store* store,
                                                     const device_program& what) const {
  if (index >= parts_->places.size()) {
    return fail(errc::not_found, "there is no device {}; this machine has {}, counted from 0",
                index, parts_->places.size());
  }
  return open_opencl_device(*parts_->calls, parts_->places[index], store, what);
}

const std::vector<device_facts>& opencl_library::devices() const noexcept { return parts_->facts; }

} // namespace ovir::compute

#else

namespace ovir::compute {

struct opencl_library::parts {
  std::vector<device_facts> facts;
};

result<opencl_library> opencl_library::load() {
  return fail(errc::unsupported,
              "this build has no OpenCL; build it again with opencl-c-headers installed");
}

result<std::unique_ptr<device>> opencl_library::open(std::size_t /*index*/,
                                                     program_store* /*store*/,
                                                     const device_program& /*what*/) const {
  return fail(errc::unsupported, "this build has no OpenCL");
}

const std::vector<device_facts>& opencl_library::devices() const noexcept { return parts_->facts; }

} // namespace ovir::compute

#endif

namespace ovir::compute {

opencl_library::opencl_library(std::unique_ptr<parts> all) : parts_(std::move(all)) {}
opencl_library::~opencl_library() = default;
opencl_library::opencl_library(opencl_library&&) noexcept = default;
opencl_library& opencl_library::operator=(opencl_library&&) noexcept = default;

} // namespace ovir::compute
