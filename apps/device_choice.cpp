#include "apps/device_choice.hpp"

#include "apps/device_examination.hpp"
#include "apps/state_folder.hpp"
#include "compute/devices/device_segment.hpp"
#include "compute/devices/gate.hpp"
#include "compute/devices/opencl_library.hpp"
#include "compute/devices/program_file.hpp"
#include "messages/limits/devices.hpp"

#include <nlohmann/json.hpp>

#include <optional>
#include <span>

namespace ovir::apps {

namespace {

/// Built programs in a folder.
class program_folder final : public compute::program_store {
public:
  explicit program_folder(storage::env& environment) : environment_(environment) {
    if (const auto state = state_folder()) {
      folder_ = *state + "/devices";
    }
  }

  [[nodiscard]] std::optional<std::vector<std::byte>> find(const std::string& name) override {
    if (folder_.empty()) {
      return std::nullopt;
    }
    // The header and the digest behind the program are far less than a page.
    const auto text =
        environment_.read(folder_ + "/" + name, limits::device_program_bytes_max + 4'096);
    if (!text) {
      return std::nullopt;
    }
    const auto bytes = std::as_bytes(std::span{*text});
    return std::vector<std::byte>{bytes.begin(), bytes.end()};
  }

  void keep(const std::string& name, std::span<const std::byte> file) override {
    if (folder_.empty() || !environment_.make_folder(folder_)) {
      return;
    }
    auto staged = environment_.stage(folder_ + "/" + name);
    if (!staged || !(*staged)->append(file) || !(*staged)->commit()) {
      return; // the driver compiles again next time
    }
  }

private:
  storage::env& environment_;
  std::string folder_; ///< empty: there is no place for files
};

/// Opened and judged.
result<std::unique_ptr<compute::device>> open_judged(const compute::opencl_library& library,
                                                     std::size_t number, program_folder& programs) {
  OVIR_ASSIGN(std::unique_ptr<compute::device> opened, library.open(number, &programs));
  OVIR_TRY(compute::check_vectors(*opened));
  return opened;
}

/// As JSON, from the process that asks.
result<std::string> findings_here(storage::env& environment) {
  OVIR_ASSIGN(const compute::opencl_library library, compute::opencl_library::load());
  program_folder programs{environment};
  nlohmann::json all = nlohmann::json::array();
  for (std::size_t i = 0; i < library.devices().size(); ++i) {
    const compute::device_facts& facts = library.devices()[i];
    const auto judged = open_judged(library, i, programs);
    all.push_back({{"name", facts.name},
                   {"platform", facts.platform},
                   {"driver", facts.driver},
                   {"memory_bytes", facts.memory_bytes},
                   {"passed", judged.has_value()},
                   {"verdict", judged ? std::string{"passed"} : judged.error().message}});
  }
  return all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace

result<std::vector<device_finding>> examine_devices(storage::env& environment) {
  OVIR_ASSIGN(const std::string said,
              apart_from_drivers([&environment] { return findings_here(environment); },
                                 limits::device_examination_wait));
  std::vector<device_finding> found;
  for (const nlohmann::json& one : nlohmann::json::parse(said, nullptr, false)) {
    found.push_back({one.value("name", ""), one.value("platform", ""), one.value("driver", ""),
                     one.value("memory_bytes", std::uint64_t{0}), one.value("passed", false),
                     one.value("verdict", "")});
  }
  return found;
}

result<std::unique_ptr<compute::segment>>
segment_on_device(std::size_t number, const compute::model& checked, layer_range layers,
                  const compute::kernel_set& kernels, storage::env& environment) {
  OVIR_ASSIGN(const compute::opencl_library library, compute::opencl_library::load());
  program_folder programs{environment};
  OVIR_ASSIGN(std::unique_ptr<compute::device> opened, open_judged(library, number, programs));
  return compute::make_device_segment(std::move(opened), checked, layers, kernels);
}

} // namespace ovir::apps
