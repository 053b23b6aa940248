#if __has_include(<CL/cl.h>)
#include "compute/devices/opencl_device.hpp"

#include "messages/check.hpp"
#include "messages/limits/devices.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace ovir::compute {

namespace {

/// Something of OpenCL's that is released at the end.
template <class Handle, class Release>
class opencl_handle {
public:
  opencl_handle() = default;
  opencl_handle(Handle handle, Release release) : handle_(handle), release_(release) {}
  opencl_handle(opencl_handle&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)), release_(other.release_) {}
  opencl_handle& operator=(opencl_handle&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(release_, other.release_);
    return *this;
  }
  ~opencl_handle() {
    if (handle_ != nullptr) {
      release_(handle_);
    }
  }
  [[nodiscard]] Handle get() const noexcept { return handle_; }
  /// Where OpenCL takes a pointer to the handle.
  [[nodiscard]] const Handle* address() const noexcept { return &handle_; }

private:
  Handle handle_{nullptr};
  Release release_{nullptr};
};

using context_handle = opencl_handle<cl_context, decltype(&::clReleaseContext)>;
using queue_handle = opencl_handle<cl_command_queue, decltype(&::clReleaseCommandQueue)>;
using program_handle = opencl_handle<cl_program, decltype(&::clReleaseProgram)>;
using kernel_handle = opencl_handle<cl_kernel, decltype(&::clReleaseKernel)>;
using memory_handle = opencl_handle<cl_mem, decltype(&::clReleaseMemObject)>;

class opencl_memory final : public device_memory {
public:
  opencl_memory(memory_handle handle, std::size_t bytes)
      : handle_(std::move(handle)), bytes_(bytes) {}
  [[nodiscard]] std::size_t bytes() const noexcept override { return bytes_; }
  [[nodiscard]] cl_mem get() const noexcept { return handle_.get(); }
  [[nodiscard]] const cl_mem* address() const noexcept { return handle_.address(); }

private:
  memory_handle handle_;
  std::size_t bytes_;
};

const opencl_memory& of_opencl(const device_memory& memory) {
  return static_cast<const opencl_memory&>(memory);
}

/// A text that a driver states, as printable ASCII.
template <class Ask>
std::string text_from(const Ask& ask) {
  std::array<char, limits::device_text_bytes_max> bytes{};
  std::size_t size = 0;
  if (ask(bytes.size(), bytes.data(), &size) != CL_SUCCESS) {
    return "unknown";
  }
  std::string text{bytes.data(), std::min(size, bytes.size())};
  text = text.substr(0, text.find('\0'));
  for (char& c : text) {
    c = c < ' ' || c > '~' ? '?' : c;
  }
  return text;
}

device_facts facts_of(const opencl_calls& calls, cl_platform_id platform, cl_device_id id) {
  const auto text = [&](cl_device_info what) {
    return text_from([&](std::size_t room, char* to, std::size_t* size) {
      return calls.GetDeviceInfo(id, what, room, to, size);
    });
  };
  const auto number = [&]<class T>(cl_device_info what, T value) {
    return calls.GetDeviceInfo(id, what, sizeof value, &value, nullptr) == CL_SUCCESS ? value : T{};
  };
  device_facts f;
  f.platform = text_from([&](std::size_t room, char* to, std::size_t* size) {
    return calls.GetPlatformInfo(platform, CL_PLATFORM_NAME, room, to, size);
  });
  f.name = text(CL_DEVICE_NAME);
  f.driver = text(CL_DRIVER_VERSION);
  f.memory_bytes = number(CL_DEVICE_GLOBAL_MEM_SIZE, cl_ulong{});
  f.allocation_bytes_max = number(CL_DEVICE_MAX_MEM_ALLOC_SIZE, cl_ulong{});
  f.local_bytes = number(CL_DEVICE_LOCAL_MEM_SIZE, cl_ulong{});
  f.group_items_max = number(CL_DEVICE_MAX_WORK_GROUP_SIZE, std::size_t{});
  const auto singles = number(CL_DEVICE_SINGLE_FP_CONFIG, cl_device_fp_config{});
  f.fused = (singles & CL_FP_FMA) != 0;
  f.subnormals = (singles & CL_FP_DENORM) != 0;
  f.rounded_division = (singles & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT) != 0;
  f.nearest = (singles & CL_FP_ROUND_TO_NEAREST) != 0;
  f.infinities = (singles & CL_FP_INF_NAN) != 0;
  f.little_endian = number(CL_DEVICE_ENDIAN_LITTLE, cl_bool{}) == CL_TRUE;
  f.compiler = number(CL_DEVICE_COMPILER_AVAILABLE, cl_bool{}) == CL_TRUE;
  return f;
}

class opencl_device final : public device {
public:
  opencl_device(const opencl_calls& calls, const opencl_place& place)
      : calls_(calls), id_(place.id), facts_(place.facts) {}
  opencl_device(const opencl_device&) = delete;
  opencl_device& operator=(const opencl_device&) = delete;
  ~opencl_device() override {
    if (queue_.get() != nullptr) {
      calls_.Finish(queue_.get());
    }
  }

  [[nodiscard]] result<void> begin();
  [[nodiscard]] result<void> build(program_store* store, const device_program& what);

  [[nodiscard]] const device_facts& facts() const noexcept override { return facts_; }
  [[nodiscard]] result<device_memory_ptr> allocate(std::size_t bytes) override;
  void write(device_memory& to, std::size_t at, std::span<const std::byte> from) override;
  void read(const device_memory& from, std::size_t at, std::span<std::byte> to) override;
  void copy(const device_memory& from, std::size_t from_at, device_memory& to, std::size_t to_at,
            std::size_t bytes) override;
  void launch(device_kernel kernel, device_grid groups,
              std::span<const device_argument> arguments) override;
  [[nodiscard]] result<void> settle() override;

private:
  [[nodiscard]] bool take_binary(std::span<const std::byte> binary, const std::string& options);
  [[nodiscard]] result<void> make_kernels();
  [[nodiscard]] std::vector<std::byte> binary() const;
  [[nodiscard]] std::string build_log() const;
  /// Keeps the first failure.
  void note(cl_int code, std::string_view doing) {
    if (code != CL_SUCCESS && !failed_) {
      failed_ = fail(errc::io_failed,
                     "the device {} failed in {} (OpenCL error {}); what it computed is dropped",
                     facts_.name, doing, code);
    }
  }

  const opencl_calls& calls_;
  cl_device_id id_;
  device_facts facts_;
  context_handle context_;
  queue_handle queue_;
  program_handle program_;
  std::vector<kernel_handle> kernels_; ///< in the order of `device_kernel_rows`
  std::optional<error> failed_;
};

result<void> opencl_device::begin() {
  cl_int code = CL_SUCCESS;
  context_ = {calls_.CreateContext(nullptr, 1, &id_, nullptr, nullptr, &code),
              calls_.ReleaseContext};
  if (code == CL_SUCCESS) {
    queue_ = {calls_.CreateCommandQueue(context_.get(), id_, 0, &code), calls_.ReleaseCommandQueue};
  }
  if (code != CL_SUCCESS) {
    return fail(errc::io_failed,
                "the device {} cannot be opened (OpenCL error {}); look at its driver", facts_.name,
                code);
  }
  return {};
}

bool opencl_device::take_binary(std::span<const std::byte> binary, const std::string& options) {
  const std::size_t size = binary.size();
  const auto* bytes = reinterpret_cast<const unsigned char*>(binary.data());
  cl_int status = CL_SUCCESS;
  cl_int code = CL_SUCCESS;
  program_ = {
      calls_.CreateProgramWithBinary(context_.get(), 1, &id_, &size, &bytes, &status, &code),
      calls_.ReleaseProgram};
  return code == CL_SUCCESS && status == CL_SUCCESS &&
         calls_.BuildProgram(program_.get(), 1, &id_, options.c_str(), nullptr, nullptr) ==
             CL_SUCCESS &&
         make_kernels();
}

std::string opencl_device::build_log() const {
  std::size_t size = 0;
  calls_.GetProgramBuildInfo(program_.get(), id_, CL_PROGRAM_BUILD_LOG, 0, nullptr, &size);
  if (size > limits::device_program_bytes_max) {
    return {};
  }
  std::string said(size, '\0');
  calls_.GetProgramBuildInfo(program_.get(), id_, CL_PROGRAM_BUILD_LOG, size, said.data(), nullptr);
  said = said.substr(0, said.find('\0'));
  return said.size() > limits::device_log_bytes_max
             ? said.substr(said.size() - limits::device_log_bytes_max)
             : said;
}

result<void> opencl_device::make_kernels() {
  kernels_.clear();
  for (const device_kernel_row& row : device_kernel_rows) {
    cl_int code = CL_SUCCESS;
    kernels_.emplace_back(calls_.CreateKernel(program_.get(), std::string{row.name}.c_str(), &code),
                          calls_.ReleaseKernel);
    std::size_t items = 0;
    if (code == CL_SUCCESS) {
      code = calls_.GetKernelWorkGroupInfo(kernels_.back().get(), id_, CL_KERNEL_WORK_GROUP_SIZE,
                                           sizeof items, &items, nullptr);
    }
    if (code != CL_SUCCESS || items < row.items) {
      return fail(errc::unsupported,
                  "the device {} cannot run the kernel {} in groups of {} (at most {}, OpenCL "
                  "error {})",
                  facts_.name, row.name, row.items, items, code);
    }
  }
  return {};
}

std::vector<std::byte> opencl_device::binary() const {
  std::size_t size = 0;
  if (calls_.GetProgramInfo(program_.get(), CL_PROGRAM_BINARY_SIZES, sizeof size, &size, nullptr) !=
          CL_SUCCESS ||
      size > limits::device_program_bytes_max) {
    return {};
  }
  std::vector<std::byte> out(size);
  auto* bytes = reinterpret_cast<unsigned char*>(out.data());
  if (calls_.GetProgramInfo(program_.get(), CL_PROGRAM_BINARIES, sizeof bytes, &bytes, nullptr) !=
      CL_SUCCESS) {
    return {};
  }
  return out;
}

result<void> opencl_device::build(program_store* store, const device_program& what) {
  const digest key = program_key(facts_, what.options, source_digest(what.source));
  const std::string name = program_file_name(key);
  if (store != nullptr) {
    if (const auto file = store->find(name)) {
      const auto kept = decode_program(key, *file);
      if (kept && take_binary(*kept, what.options)) {
        return {};
      }
    }
  }
  const char* text = what.source.c_str();
  cl_int code = CL_SUCCESS;
  program_ = {calls_.CreateProgramWithSource(context_.get(), 1, &text, nullptr, &code),
              calls_.ReleaseProgram};
  if (code == CL_SUCCESS) {
    code = calls_.BuildProgram(program_.get(), 1, &id_, what.options.c_str(), nullptr, nullptr);
  }
  if (code != CL_SUCCESS) {
    return fail(errc::io_failed,
                "the device {} does not build OVIR's kernels (OpenCL error {}): {}", facts_.name,
                code, build_log());
  }
  OVIR_TRY(make_kernels());
  if (store != nullptr) {
    if (const std::vector<std::byte> built = binary(); !built.empty()) {
      store->keep(name, encode_program(key, built));
    }
  }
  return {};
}

result<device_memory_ptr> opencl_device::allocate(std::size_t bytes) {
  const std::size_t size = std::max<std::size_t>(bytes, 1);
  if (size > facts_.allocation_bytes_max) {
    return fail(errc::over_limit, "the device {} gives at most {} MiB at once, not {}", facts_.name,
                facts_.allocation_bytes_max >> 20U, size >> 20U);
  }
  cl_int code = CL_SUCCESS;
  memory_handle handle{calls_.CreateBuffer(context_.get(), CL_MEM_READ_WRITE, size, nullptr, &code),
                       calls_.ReleaseMemObject};
  if (code != CL_SUCCESS) {
    return fail(errc::over_limit, "the device {} has no {} MiB left (OpenCL error {})", facts_.name,
                size >> 20U, code);
  }
  return device_memory_ptr{std::make_unique<opencl_memory>(std::move(handle), size)};
}

void opencl_device::write(device_memory& to, std::size_t at, std::span<const std::byte> from) {
  OVIR_CHECK(at <= to.bytes() && from.size() <= to.bytes() - at, at, from.size(), to.bytes());
  if (!failed_ && !from.empty()) {
    note(calls_.EnqueueWriteBuffer(queue_.get(), of_opencl(to).get(), CL_TRUE, at, from.size(),
                                   from.data(), 0, nullptr, nullptr),
         "writing to it");
  }
}

void opencl_device::read(const device_memory& from, std::size_t at, std::span<std::byte> to) {
  OVIR_CHECK(at <= from.bytes() && to.size() <= from.bytes() - at, at, to.size(), from.bytes());
  if (!failed_ && !to.empty()) {
    note(calls_.EnqueueReadBuffer(queue_.get(), of_opencl(from).get(), CL_TRUE, at, to.size(),
                                  to.data(), 0, nullptr, nullptr),
         "reading from it");
  }
}

void opencl_device::copy(const device_memory& from, std::size_t from_at, device_memory& to,
                         std::size_t to_at, std::size_t bytes) {
  OVIR_CHECK(from_at <= from.bytes() && bytes <= from.bytes() - from_at, from_at, bytes);
  OVIR_CHECK(to_at <= to.bytes() && bytes <= to.bytes() - to_at, to_at, bytes);
  if (!failed_ && bytes > 0) {
    note(calls_.EnqueueCopyBuffer(queue_.get(), of_opencl(from).get(), of_opencl(to).get(), from_at,
                                  to_at, bytes, 0, nullptr, nullptr),
         "copying on it");
  }
}

void opencl_device::launch(device_kernel kernel, device_grid groups,
                           std::span<const device_argument> arguments) {
  if (failed_) {
    return;
  }
  const device_kernel_row& row = row_of(kernel);
  const cl_kernel handle = kernels_[static_cast<std::size_t>(kernel)].get();
  cl_int code = CL_SUCCESS;
  cl_uint i = 0;
  for (const device_argument& argument : arguments) {
    const cl_int set = std::visit(
        [&](const auto& value) {
          if constexpr (std::is_pointer_v<std::remove_cvref_t<decltype(value)>>) {
            return calls_.SetKernelArg(handle, i, sizeof(cl_mem), of_opencl(*value).address());
          } else {
            return calls_.SetKernelArg(handle, i, sizeof value, &value);
          }
        },
        argument);
    code = code == CL_SUCCESS ? set : code;
    ++i;
  }
  const std::array<std::size_t, 3> items{row.items, 1, 1};
  const std::array<std::size_t, 3> all{std::size_t{row.items} * groups.x, groups.y, groups.z};
  if (code == CL_SUCCESS) {
    code = calls_.EnqueueNDRangeKernel(queue_.get(), handle, 3, nullptr, all.data(), items.data(),
                                       0, nullptr, nullptr);
  }
  note(code, row.name);
}

result<void> opencl_device::settle() {
  note(calls_.Finish(queue_.get()), "finishing its work");
  if (failed_) {
    error what = std::move(*failed_);
    failed_.reset();
    return what;
  }
  return {};
}

} // namespace

std::vector<opencl_place> find_opencl_devices(const opencl_calls& calls) {
  std::array<cl_platform_id, limits::device_platforms_max> platforms{};
  cl_uint platform_count = 0;
  if (calls.GetPlatformIDs(platforms.size(), platforms.data(), &platform_count) != CL_SUCCESS) {
    return {}; // also where there is no driver
  }
  std::vector<opencl_place> places;
  for (std::size_t i = 0; i < std::min<std::size_t>(platform_count, platforms.size()); ++i) {
    std::array<cl_device_id, limits::devices_max> ids{};
    cl_uint count = 0;
    if (calls.GetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, ids.size(), ids.data(), &count) !=
        CL_SUCCESS) {
      continue;
    }
    for (std::size_t j = 0; j < std::min<std::size_t>(count, ids.size()); ++j) {
      if (places.size() < limits::devices_max) {
        places.push_back({platforms[i], ids[j], facts_of(calls, platforms[i], ids[j])});
      }
    }
  }
  return places;
}

result<std::unique_ptr<device>> open_opencl_device(const opencl_calls& calls,
                                                   const opencl_place& place, program_store* store,
                                                   const device_program& what) {
  OVIR_TRY(check_demands(place.facts));
  auto opened = std::make_unique<opencl_device>(calls, place);
  OVIR_TRY(opened->begin());
  OVIR_TRY(opened->build(store, what));
  return std::unique_ptr<device>{std::move(opened)};
}

} // namespace ovir::compute

#endif
