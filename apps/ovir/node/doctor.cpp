#include "actors/nat/router.hpp"
#include "apps/compute_threads.hpp"
#include "apps/device_choice.hpp"
#include "apps/ovir/base/command.hpp"
#include "apps/ovir/base/machine.hpp"
#include "apps/ovir/node/bug_report.hpp"
#include "apps/ovir/node/node_config.hpp"
#include "compute/base/printable.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/kernels/numerics.hpp"
#include "compute/model/transcript.hpp"
#include "messages/caf/version.hpp"
#include "messages/limits/reports.hpp"

#include <capnp/common.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

namespace ovir::apps {

namespace {

constexpr std::size_t router_text_bytes_max = 64;

struct options {
  compute_options how;
  bool as_json{false};
  bool router{false}; ///< it is asked whether it maps ports
  std::string config; ///< of the node that the report is about; empty: of none
  std::string report; ///< where it goes; empty: there is none
};

/// One set of kernels on this machine.
struct kernel_finding {
  std::string_view name;
  bool built{false};
  bool supported{false}; ///< by this processor
  std::string self_test; ///< "passed", "not run", or what differed
};

std::vector<kernel_finding> examine_kernels() {
  std::vector<kernel_finding> findings;
  std::vector<compute::isa> sets{compute::isa::reference};
  sets.insert(sets.end(), compute::fast_isas.rbegin(), compute::fast_isas.rend());
  for (const compute::isa id : sets) {
    const compute::kernel_set* const set = compute::kernels_of(id);
    if (set == nullptr) {
      continue; // of another family of processors
    }
    kernel_finding finding{compute::name_of(id), set != nullptr, false, "not run"};
    if (set != nullptr && compute::processor_has(set->id)) {
      finding.supported = true;
      const auto tested = compute::self_test(*set);
      finding.self_test = tested ? "passed" : tested.error().message;
    }
    findings.push_back(std::move(finding));
  }
  return findings;
}

std::string capnp_version() {
  return fmt::format("{}.{}.{}", CAPNP_VERSION_MAJOR, CAPNP_VERSION_MINOR, CAPNP_VERSION_MICRO);
}

/// Everything found, for both ways of printing it.
struct findings {
  machine box;
  std::vector<kernel_finding> kernels;
  std::string chosen; ///< name of the kernels a command would use, or why none
  bool healthy{false};
  std::uint32_t threads{1};
  double bandwidth_one{0};
  double bandwidth_all{0};
  std::vector<device_finding> devices;
  std::string why_no_devices; ///< where there are none
  std::string router;         ///< what it says; empty: it was not asked
};

json limit_or_null(std::uint64_t limit) { return limit == 0 ? json(nullptr) : json(limit); }

json document_of(const findings& all) {
  json kernels = json::array();
  for (const kernel_finding& k : all.kernels) {
    kernels.push_back({{"name", k.name},
                       {"built", k.built},
                       {"supported", k.supported},
                       {"self_test", k.self_test}});
  }
  json devices = json::array();
  for (const device_finding& d : all.devices) {
    devices.push_back({{"name", d.name},
                       {"platform", d.platform},
                       {"driver", d.driver},
                       {"memory_bytes", d.memory_bytes},
                       {"passed", d.passed},
                       {"verdict", d.verdict}});
  }
  return {{"devices", std::move(devices)},
          {"router", all.router.empty() ? json(nullptr) : json(all.router)},
          {"healthy", all.healthy},
          {"isa", all.chosen},
          {"kernels", std::move(kernels)},
          {"memory_bandwidth",
           {{"one_thread", all.bandwidth_one},
            {"all_threads", all.bandwidth_all},
            {"threads", all.threads}}},
          {"processor", all.box.processor},
          {"processors", all.box.processors},
          {"system", all.box.system},
          {"memory_bytes", all.box.memory_bytes},
          {"memory_available_bytes", all.box.memory_available_bytes},
          {"page_bytes", all.box.page_bytes},
          {"huge_pages", all.box.huge_pages},
          {"limits",
           {{"open_files", limit_or_null(all.box.open_files_max)},
            {"locked_bytes", limit_or_null(all.box.locked_bytes_max)}}},
          {"versions",
           {{"ovir", OVIR_VERSION},
            {"caf", caf_version()},
            {"capnp", capnp_version()},
            {"compiler", __VERSION__}}},
          {"profile",
           {{"name", compute::profile_name}, {"digest", to_hex(compute::profile_digest())}}}};
}

std::string page_of(const findings& all) {
  const machine& box = all.box;
  const auto limit = [](std::uint64_t value, const std::string& text) {
    return value == 0 ? std::string{"unlimited"} : text;
  };
  std::string text = fmt::format("processor     {} ({} threads)\nsystem        {}\n", box.processor,
                                 box.processors, box.system);
  text += fmt::format("memory        {}, {} free; pages of {}, huge pages: {}\n",
                      bytes_text(box.memory_bytes), bytes_text(box.memory_available_bytes),
                      bytes_text(box.page_bytes), box.huge_pages.empty() ? "no" : box.huge_pages);
  text += fmt::format("bandwidth     {:.1f} GB/s with 1 thread, {:.1f} GB/s with {}\n",
                      all.bandwidth_one / 1e9, all.bandwidth_all / 1e9, all.threads);
  text += fmt::format("limits        {} open files, {} locked memory\n",
                      limit(box.open_files_max, std::to_string(box.open_files_max)),
                      limit(box.locked_bytes_max, bytes_text(box.locked_bytes_max)));
  for (const kernel_finding& k : all.kernels) {
    text += fmt::format("kernels       {:<10} {}\n", k.name,
                        !k.built       ? "not in this build"
                        : !k.supported ? "not supported by this processor"
                                       : "self-test " + k.self_test);
  }
  text += fmt::format("chosen        {}\n", all.chosen);
  for (std::size_t i = 0; i < all.devices.size(); ++i) {
    const device_finding& d = all.devices[i];
    text += fmt::format("device {:<2}     {} ({}, driver {}), {}: vectors {}\n", i, d.name,
                        d.platform, d.driver, bytes_text(d.memory_bytes), d.verdict);
  }
  if (all.devices.empty()) {
    text += fmt::format("devices       none: {}\n", all.why_no_devices);
  }
  if (!all.router.empty()) {
    text += fmt::format("router        {}\n", all.router);
  }
  text += fmt::format("versions      ovir {}, CAF {}, Cap'n Proto {}, compiler {}\n", OVIR_VERSION,
                      caf_version(), capnp_version(), __VERSION__);
  return text + fmt::format("profile       {} {}\n", compute::profile_name,
                            to_hex(compute::profile_digest()));
}

/// The end of a node's log; empty where it has no file.
result<std::string> end_of_log(const supervision::node_options& node, surroundings& around) {
  if (node.log_file.empty()) {
    return std::string{};
  }
  OVIR_ASSIGN(const auto file, around.environment.map(node.log_file));
  auto bytes = file->bytes();
  if (bytes.size() > limits::report_log_bytes_max) {
    bytes = bytes.last(limits::report_log_bytes_max);
  }
  std::string text(bytes.size(), ' ');
  std::transform(bytes.begin(), bytes.end(), text.begin(),
                 [](std::byte b) { return static_cast<char>(b); });
  return text;
}

/// Writes what helps to find a fault into a file that strangers may read.
result<void> write_report(const options& given, findings all, surroundings& around) {
  all.router.clear(); // it tells an address
  json report{{"report", 1}, {"machine", document_of(all)}};
  if (!given.config.empty()) {
    OVIR_ASSIGN(const auto node, read_node_config(around.environment, given.config));
    const json config = apps::document_of(node);
    report["node"] = config_for_report(config);
    const auto log = end_of_log(node, around);
    report["log"] = log ? json(log_for_report(*log, config)) // a message would name the path
                        : json(fmt::format("cannot be read: {}", to_string(log.error().code)));
  }
  const std::string text = to_text(report);
  OVIR_ASSIGN(const auto file, around.environment.stage(given.report));
  OVIR_TRY(file->append(std::as_bytes(std::span{text})));
  OVIR_TRY(file->commit());
  write_note(fmt::format("wrote {}: {}. Read it before you send it\n", given.report,
                         given.config.empty()
                             ? "this machine; -c NODE.toml adds a node's configuration and log"
                             : "this machine, the node's configuration, the end of its log"));
  return {};
}

result<exit_code> examine(const options& given, surroundings& around) {
  findings all;
  all.box = this_machine(around.environment);
  all.kernels = examine_kernels();
  const auto chosen = kernels_from(given.how.isa);
  if (!chosen && chosen.error().code == errc::invalid_argument) {
    return chosen.error();
  }
  all.healthy = chosen.has_value();
  all.chosen = chosen ? std::string{(*chosen)->name} : chosen.error().message;
  all.threads = given.how.threads;
  // A device that is refused is not used, and the machine is as healthy as before.
  if (auto found = examine_devices(around.environment)) {
    all.devices = std::move(*found);
    all.why_no_devices = "OpenCL lists none";
  } else {
    all.why_no_devices = found.error().message;
  }
  compute::serial_runner one;
  compute_threads threads{given.how.threads};
  const compute::isa reads_by = chosen ? (*chosen)->id : compute::isa::reference;
  OVIR_ASSIGN(all.bandwidth_one, read_bandwidth(reads_by, one, around.environment));
  OVIR_ASSIGN(all.bandwidth_all, read_bandwidth(reads_by, threads, around.environment));
  if (given.router) {
    const auto found = actors::make_home_router()->look();
    all.router = found ? fmt::format("maps ports by {}, its address outside is {}", found->by,
                                     compute::printable(found->address, router_text_bytes_max))
                       : found.error().message;
  }
  OVIR_TRY(given.as_json ? write_document(document_of(all)) : write_output(page_of(all)));
  if (!given.report.empty()) {
    OVIR_TRY(write_report(given, all, around));
  }
  return all.healthy ? exit_code::done : exit_code::wrong;
}

} // namespace

void add_doctor(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("doctor", "What this machine has, and whether it computes correctly");
  const auto given = std::make_shared<options>();
  command->footer("Exit code 1 when the kernels a command would use fail their self-test or are\n"
                  "not supported here.\n"
                  "\nExamples:\n  ovir doctor --json\n"
                  "  ovir doctor --report report.json -c node/node.toml");
  add_threads(*command, given->how);
  add_isa(*command, given->how);
  add_json(*command, given->as_json);
  command->add_flag("--router", given->router,
                    "Also ask the router of this network whether it maps ports, some seconds");
  command
      ->add_option("--report", given->report,
                   "Also write a file for a bug report, without secrets, prompts and addresses")
      ->option_text("FILE");
  command
      ->add_option("-c,--config", given->config,
                   "The report has this node's configuration, too, and the end of its log")
      ->needs("--report")
      ->option_text("FILE");
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return examine(*given, around); };
  });
}

} // namespace ovir::apps
