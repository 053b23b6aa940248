#include "node/node.hpp"

#include "actors/placement/placement.hpp"
#include "apps/interrupt.hpp"
#include "apps/key_file.hpp"
#include "apps/ovir/base/command.hpp"
#include "apps/ovir/base/draft_file.hpp"
#include "apps/ovir/base/embedded_model.hpp"
#include "apps/ovir/base/foreign_key.hpp"
#include "apps/ovir/base/machine.hpp"
#include "apps/ovir/base/service_manager.hpp"
#include "apps/ovir/node/lan_announce.hpp"
#include "apps/ovir/node/node_config.hpp"
#include "apps/ovir/node/node_log.hpp"
#include "apps/ovir/node/node_run.hpp"
#include "apps/pack_model.hpp"
#include "apps/software.hpp"
#include "apps/state_folder.hpp"
#include "compute/gguf/join_adapter.hpp"
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/model/lora.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>

namespace ovir::apps {

namespace {

/// How often the main thread looks for signals.
constexpr std::chrono::milliseconds signal_poll{50};

struct command_options {
  std::string config;
  bool check{false};
  bool as_json{false};
};

std::uint64_t range_bytes(const compute::model& m, layer_range layers) {
  std::uint64_t total = layers.first == 0 ? compute::file_bytes(m.token_embedding) : 0;
  for (layer_index l = layers.first; l < layers.last; ++l) {
    total += compute::held_bytes(m.layers[l]);
  }
  const bool tied = m.output.data == m.token_embedding.data && !compute::is_unpacked(m.output.type);
  const bool head = layers.last == m.config.layers && !(tied && layers.first == 0);
  return total + (head ? compute::held_bytes(m.output) : 0);
}

// As many layers from the first as the memory has room for: where placers decide about the others,
// as they count, which may be none; else four fifths of it, beside caches.
layer_range fitting(const compute::model& m, std::uint64_t memory,
                    const supervision::node_options& how) {
  layer_range best{0, 0};
  if (supervision::is_placed(how)) {
    const std::uint32_t promised = how.context_max == 0 ? m.config.context : how.context_max;
    best.last = actors::layers_that_fit(
        {{}, actors::shape_of(m, how.prefill_chunk), actors::placed_positions(promised)}, memory);
    return best;
  }
  while (best.last < m.config.layers && range_bytes(m, {0, best.last + 1}) <= memory / 5 * 4) {
    ++best.last;
  }
  return best;
}

class loader {
public:
  loader(surroundings& around, const supervision::node_options& how,
         const compute::kernel_set& kernels)
      : around_(around), how_(how), kernels_(kernels) {}

  result<std::shared_ptr<actors::catalog_model>>
  operator()(const std::string& path, std::optional<layer_range> layers,
             const std::shared_ptr<const compute::model_manifest>& fetched,
             compute::parallel_runner& runner) const {
    OVIR_ASSIGN(ready_model ready,
                load_model(around_, path == embedded_model_path ? std::string{} : path));
    auto model = std::make_shared<actors::catalog_model>();
    const compute::model_config& config = ready.weights.config;
    const bool holds = how_.roles.has(role::worker) && layers != layer_range{};
    const std::uint64_t memory =
        how_.memory_bytes > 0 ? how_.memory_bytes : around_.environment.memory_bytes() / 5 * 4;
    OVIR_TRY(name_by_content(*model, ready, path, fetched));
    if (holds) {
      OVIR_ASSIGN(model->base, loaded_base(*model->manifest, layers));
      model->held = layers        ? *layers
                    : model->base ? model->base->held
                                  : fitting(ready.weights, memory, how_);
    }
    if (holds && (layers || model->held.size() > 0 || !supervision::is_placed(how_))) {
      if (model->held.last > config.layers || model->held.size() == 0) {
        return fail(errc::invalid_argument,
                    "{}: layers {}-{} cannot be held: the model has {} and the memory limit is {} "
                    "MiB; change 'layers' or limits.memory_mib",
                    path, model->held.first, model->held.last == 0 ? 0 : model->held.last - 1,
                    config.layers, memory >> 20U);
      }
      OVIR_TRY(model->base ? share_base(*model, ready) : hold_alone(*model, ready, runner));
    }
    model->name = name_for(*model, path, fetched != nullptr);
    model->path = path;
    model->weights = std::move(ready.weights);
    if (how_.roles.has(role::scheduler)) {
      model->vocabulary = std::move(ready.vocabulary);
    }
    model->metadata = std::move(ready.source.metadata);
    model->file = std::move(ready.source.file);
    model->kernels = &kernels_;
    model->prefill_chunk = how_.prefill_chunk;
    model->context = how_.context_max == 0 ? config.context : how_.context_max;
    loaded_->remember(model);
    return model;
  }

private:
  static constexpr std::size_t digits_of_name = 16; ///< of a model that came without a file's name

  using part = std::shared_ptr<const actors::catalog_model>;

  /// What was loaded and is still used, for adapters that come behind their base.
  struct loaded_parts {
    std::map<digest, std::vector<std::weak_ptr<const actors::catalog_model>>> by_id;

    void remember(const part& model) {
      auto& parts = by_id[model->id];
      std::erase_if(parts, [](const auto& known) { return known.expired(); });
      parts.push_back(model);
    }
  };

  /// The newest part of an adapted model's base that has all of these layers, or any where they
  /// are not named; null for other models and where there is none.
  result<part> loaded_base(const compute::model_manifest& manifest,
                           std::optional<layer_range> layers) const {
    if (!compute::has_adapter(manifest)) {
      return part{};
    }
    OVIR_ASSIGN(const compute::model_manifest base, compute::base_of(manifest));
    const auto known = loaded_->by_id.find(compute::name_of(base));
    if (known == loaded_->by_id.end()) {
      return part{};
    }
    for (auto one = known->second.rbegin(); one != known->second.rend(); ++one) {
      const part held = one->lock();
      if (held && held->held.size() > 0 &&
          (!layers || (held->held.first <= layers->first && layers->last <= held->held.last))) {
        return held;
      }
    }
    return part{};
  }

  /// Sessions with the adapter are computed with the weights of its base, as these lie in memory.
  static result<void> share_base(actors::catalog_model& model, ready_model& ready) {
    OVIR_TRY(compute::check_lora(*ready.weights.lora, model.held));
    auto pairs = std::move(ready.weights.lora);
    model.held_bytes = pairs->file_bytes(model.held);
    ready.weights = model.base->weights;
    ready.weights.lora = std::move(pairs);
    return {};
  }

  result<void> hold_alone(actors::catalog_model& model, ready_model& ready,
                          compute::parallel_runner& runner) const {
    OVIR_TRY(pack_model(ready, model.held, kernels_, around_.environment, runner));
    model.held_bytes = range_bytes(ready.weights, model.held);
    if (ready.weights.lora) {
      model.held_bytes += ready.weights.lora->file_bytes(model.held);
    }
    return {};
  }

  /// By its files; of what came without a file's name by its digest, and of an adapted one also by
  /// its base, if that is known.
  std::string name_for(const actors::catalog_model& model, const std::string& path,
                       bool fetched) const {
    const std::string digits = to_hex(model.id).substr(0, digits_of_name);
    if (fetched) {
      return model.base ? compute::adapted_name({model.base->name, digits}) : digits;
    }
    const auto names = compute::adapted_path_from(path);
    return compute::has_adapter(*model.manifest) && names ? compute::adapted_name(*names)
                                                          : file_name(path);
  }

  /// A whole file is hashed when it is loaded first: other layers of it have the same manifest.
  result<void>
  name_by_content(actors::catalog_model& model, ready_model& ready, const std::string& path,
                  const std::shared_ptr<const compute::model_manifest>& fetched) const {
    model.whole = fetched == nullptr;
    model.manifest = model.whole ? (*hashed_)[path] : fetched;
    if (!model.manifest) {
      // Of an adapter's base that was hashed before nothing is read again.
      const auto names = compute::adapted_path_from(path);
      const auto base = names ? hashed_->find(names->base) : hashed_->end();
      OVIR_ASSIGN(compute::model_manifest made,
                  compute::manifest_of(
                      ready.source.metadata, [&ready] { ready.source.file->release_pages(); },
                      base == hashed_->end() ? nullptr : base->second.get()));
      model.manifest = std::make_shared<const compute::model_manifest>(std::move(made));
      (*hashed_)[path] = model.manifest;
    }
    model.id = compute::name_of(*model.manifest);
    return {};
  }

  static std::string file_name(const std::string& path) {
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? path : path.substr(slash + 1);
  }

  surroundings& around_;
  const supervision::node_options& how_;
  const compute::kernel_set& kernels_;
  /// By path; of one node, which loads one part after another.
  std::shared_ptr<std::map<std::string, std::shared_ptr<const compute::model_manifest>>> hashed_{
      std::make_shared<std::map<std::string, std::shared_ptr<const compute::model_manifest>>>()};
  std::shared_ptr<loaded_parts> loaded_{std::make_shared<loaded_parts>()};
};

// Ends early when a signal comes.
void wait_for(std::chrono::milliseconds time) {
  ::poll(nullptr, 0, static_cast<int>(time.count()));
}

// kill -STOP does not end by itself: a child that is not stopped wakes us.
void stop_for(std::uint32_t ms) {
  const pid_t self = ::getpid();
  if (::fork() == 0) {
    // Peers must see the end of this node's connections should it be killed meanwhile.
    ::close_range(0, ~0U, 0);
    wait_for(std::chrono::milliseconds{ms});
    ::kill(self, SIGCONT);
    ::_exit(0);
  }
  ::kill(self, SIGSTOP);
}

result<void> reload(const std::function<result<supervision::node_options>()>& reread,
                    node_log& journal, supervision::node& running) {
  OVIR_TRY(journal.reopen());
  if (!reread) {
    return {};
  }
  OVIR_ASSIGN(const auto fresh, reread());
  for (const std::string& line : running.reload(fresh)) {
    journal.write(actors::log_level::warn, std::nullopt, line);
  }
  journal.write(actors::log_level::info, std::nullopt, "configuration read again");
  return {};
}

// A process whose tree stands still is worth no more than one that is gone: then the service
// manager hears nothing and starts another.
void show_life(service_manager& manager, supervision::node& running, surroundings& around,
               node_log& journal) {
  if (!manager.beat_due(around.environment.now())) {
    return;
  }
  if (running.responds()) {
    manager.beat(around.environment.now());
  } else {
    manager.miss(around.environment.now());
    journal.write(actors::log_level::error, std::nullopt,
                  "the supervision tree does not answer; no sign of life for the service manager");
  }
}

} // namespace

result<exit_code> run_node(const supervision::node_options& how, surroundings& around,
                           const std::function<result<supervision::node_options>()>& reread,
                           const std::function<void(const supervision::node&)>& begun) {
  const char* const isa = std::getenv("OVIR_ISA");
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(isa == nullptr ? "" : isa));
  OVIR_TRY(around.environment.make_folder(how.state));
  OVIR_ASSIGN(const secret_key key, load_or_make_key(around.environment, key_path_in(how.state)));
  OVIR_ASSIGN(const node_log_options log_options, log_options_of(how));
  OVIR_ASSIGN(const auto journal, node_log::open(log_options));
  supervision::node_surroundings outside;
  outside.env = &around.environment;
  outside.key = &key;
  outside.journal = journal.get();
  outside.load = loader{around, how, *kernels};
  outside.load_draft = [&around, kernels](const std::string& path, const compute::tokenizer& target,
                                          compute::parallel_runner& runner) {
    return load_draft(around, path, target, *kernels, runner);
  };
  outside.version = OVIR_VERSION;
  outside.software = software_text(*kernels);
  outside.kill_self = [] { ::kill(::getpid(), SIGKILL); };
  outside.stop_self = stop_for;
  const std::atomic<bool>& hang_up = watch_for_hang_up();
  journal->say(actors::log_level::info, std::nullopt, "ovir {} node '{}' {} starts as {}",
               OVIR_VERSION, how.name, to_hex(key.id()), to_string(how.roles));
  auto started = supervision::node::start(how, outside);
  if (!started) { // the console hears of it from `main`, whatever the log is written to
    journal->say(actors::log_level::error, std::nullopt, "ends: {}", started.error().message);
    return in_context(fmt::format("node '{}' of {}", how.name, how.state), started.error());
  }
  const auto node = std::move(*started);
  journal->say(actors::log_level::info, std::nullopt, "listens on {}, shells on {}",
               node->listen_address(), node->admin_address());
  write_note(fmt::format("node {} '{}' listens on {}, shells on {}\n", to_hex(key.id()), how.name,
                         node->listen_address(), node->admin_address()));
  if (how.gateway) {
    journal->say(actors::log_level::info, std::nullopt, "answers HTTP on {}", node->http_address());
    write_note(fmt::format("answers {} on {}\n",
                           how.gateway->tls_certificate.empty() ? "http" : "https",
                           node->http_address()));
  }
  if (begun) {
    begun(*node);
  }
  const auto network = actors::make_avahi_lan();
  auto announced = announce_node(*network, how, node->listen_address(), key.id(), *journal);
  service_manager manager{around.environment.now()};
  manager.ready(fmt::format("node '{}' listens on {}", how.name, node->listen_address()));
  while (!around.interrupted.load() && !node->finished()) {
    wait_for(signal_poll);
    show_life(manager, *node, around, *journal);
    if (take_hang_up(hang_up)) {
      if (const auto done = reload(reread, *journal, *node); !done) {
        journal->say(actors::log_level::error, std::nullopt, "configuration kept: {}",
                     done.error().message);
      }
    }
  }
  announced.reset(); // the network hears goodbye before the node takes nothing new
  manager.stopping();
  journal->write(actors::log_level::info, std::nullopt, "drains");
  forget_interrupts();
  const bool clean = node->drain(around.interrupted);
  if (const auto refused = node->refusal()) {
    journal->say(actors::log_level::error, std::nullopt, "ends: {}", refused->message);
    return in_context(fmt::format("node '{}' of {}", how.name, how.state), *refused);
  }
  return clean ? exit_code::done : exit_code::unavailable;
}

namespace {

/// What the file says, of a node that may start so.
result<supervision::node_options> read_options(const command_options& given, surroundings& around) {
  OVIR_ASSIGN(auto how, read_node_config(around.environment, given.config));
  OVIR_TRY(refuse_operators_keys(around.environment, how));
  return how;
}

result<exit_code> run(const command_options& given, surroundings& around) {
  OVIR_ASSIGN(const auto how, read_options(given, around));
  if (!given.check) {
    return run_node(how, around, [&given, &around] { return read_options(given, around); });
  }
  if (given.as_json) {
    OVIR_TRY(write_document(document_of(how)));
  } else {
    OVIR_TRY(write_output(describe(how)));
  }
  return exit_code::done;
}

} // namespace

void add_node(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command = app.add_subcommand("node", "Be a member of a cluster");
  const auto given = std::make_shared<command_options>();
  command->footer("config/all.toml explains every key. The node makes its key on first start; its\n"
                  "public half is its name, and what other nodes allow.\n"
                  "\nSIGTERM or Ctrl-C drains: nothing new is taken, running requests end or are\n"
                  "handed over; once more ends at once. SIGHUP reads the file again.\n"
                  "\nExamples:\n"
                  "  ovir node -c config/worker.toml\n"
                  "  ovir node -c config/worker.toml --check");
  command->add_option("-c,--config", given->config, "Configuration file (TOML)")->required();
  command->add_flag("--check", given->check, "Read the file, print what it means, and end");
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return run(*given, around); };
  });
}

} // namespace ovir::apps
