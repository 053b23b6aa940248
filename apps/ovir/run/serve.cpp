#include "apps/ovir/base/http_commands.hpp"
#include "apps/ovir/node/node_config.hpp"
#include "apps/ovir/node/node_config_gateway.hpp"
#include "apps/ovir/node/node_run.hpp"
#include "apps/state_folder.hpp"
#include "compute/gguf/join_adapter.hpp"
#include "gateway/api/chat_format.hpp"
#include "gateway/http/host_check.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace ovir::apps {

namespace {

struct serve_options {
  std::string model; ///< empty: the one inside the program
  std::vector<std::string> adapters;
  std::string draft; ///< empty: no model guesses
  std::string state;
  supervision::gateway_option http;
  std::uint32_t threads{0};
  std::uint32_t context{0};
};

result<exit_code> serve(const serve_options& given, surroundings& around) {
  supervision::node_options how;
  how.name = "serve";
  how.cluster = "alone";
  how.roles.add(role::worker).add(role::scheduler);
  how.admin_listen = "127.0.0.1:0";
  how.state = given.state;
  if (how.state.empty()) {
    OVIR_ASSIGN(how.state, state_folder());
  }
  how.models.push_back({given.model.empty() ? std::string{embedded_model_path} : given.model, {}});
  how.models.back().draft = given.draft;
  for (const std::string& adapter : given.adapters) {
    how.models.push_back({compute::adapted_path_of(given.model, adapter), {}});
  }
  how.threads = given.threads;
  how.context_max = given.context;
  how.gateway = given.http;
  for (const auto& [option, address] :
       {std::pair{"--http", how.gateway->listen}, std::pair{"--ollama", how.gateway->ollama}}) {
    if (how.gateway->keys.empty() && !address.empty() && !is_local_address(address)) {
      return fail(errc::invalid_argument,
                  "{} {} can be reached from other machines, and without --keys everybody may "
                  "ask; give --keys FILE, or listen on 127.0.0.1",
                  option, address);
    }
  }
  if (how.gateway->tls_certificate.empty() != how.gateway->tls_key.empty()) {
    return fail(errc::invalid_argument, "--tls-certificate and --tls-key belong together");
  }
  return run_node(how, around, nullptr);
}

} // namespace

void add_serve(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("serve", "Answer OpenAI's clients over HTTP, in one process");
  const auto given = std::make_shared<serve_options>();
  given->http.listen = "127.0.0.1:7380";
  command->footer(
      "A node of its own with an HTTP endpoint; in a cluster the table [gateway] of a\n"
      "scheduler's configuration is the same. Ctrl-C lets requests under way end; once\n"
      "more ends at once.\n"
      "\nExamples:\n"
      "  ovir serve\n"
      "  ovir serve -m model.gguf --http 127.0.0.1:8080 --ollama 127.0.0.1:11434\n"
      "  ovir serve -m model.gguf --http 0.0.0.0:8443 --keys api-keys.json \\\n"
      "    --tls-certificate server.crt --tls-key server.key");
  CLI::Option* const model = command->add_option("-m,--model", given->model,
                                                 "GGUF file (default: the one inside the program)");
  command
      ->add_option("--adapter", given->adapters,
                   "LoRA adapter for the model (GGUF), as \"MODEL+ADAPTER\" beside it; may be "
                   "given several times")
      ->expected(1)
      ->take_all()
      ->needs(model);
  command->add_option(
      "--draft", given->draft,
      "GGUF file with a small model of the same vocabulary, which guesses tokens that "
      "the model then checks several at a time; answers stay the same");
  command->add_option("--http", given->http.listen, "HOST:PORT to listen on; port 0: any free one")
      ->capture_default_str();
  command->add_option("--ollama", given->http.ollama,
                      "A second HOST:PORT, where Ollama's clients look: 127.0.0.1:11434");
  command->add_option("--keys", given->http.keys, "File of API keys, made by `ovir key create`");
  command
      ->add_option("--allow-host", given->http.hosts,
                   "Without --keys: a name that clients call it by, beside its address")
      ->expected(1)
      ->take_all()
      ->check([](const std::string& text) -> std::string {
        return gateway::host_of(text) == text ? "" : "is no name without a port";
      });
  command->add_option("--tls-certificate", given->http.tls_certificate, "PEM file with the chain");
  command->add_option("--tls-key", given->http.tls_key, "PEM file with its key");
  command
      ->add_option("--chat-format", given->http.chat_format,
                   "How conversations are written down: " + gateway::chat_format_names())
      ->capture_default_str()
      ->check([](const std::string& text) -> std::string {
        return gateway::is_chat_format(text) ? "" : "is none of " + gateway::chat_format_names();
      });
  command->add_option("--context", given->context, "Positions per request (default: the model's)")
      ->check(CLI::Range(std::uint32_t{1}, limits::context_max));
  command->add_option("-t,--threads", given->threads, "Compute threads (default: all processors)")
      ->check(CLI::Range(std::uint32_t{1}, limits::threads_max));
  command->add_option("--state", given->state,
                      "Folder for key and request logs (default: $OVIR_HOME, else "
                      "$XDG_STATE_HOME/ovir, else ~/.local/state/ovir)");
  command->callback([given, &chosen] {
    chosen.run = [given](surroundings& around) { return serve(*given, around); };
  });
}

} // namespace ovir::apps
