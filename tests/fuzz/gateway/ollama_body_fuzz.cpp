#include "gateway/doors/ollama_request.hpp"
#include "messages/limits/gateway.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

void require(bool promise) {
  if (!promise) {
    std::abort();
  }
}

} // namespace

// Reads any bytes as a body of each of Ollama's paths. What is accepted is one request within its
// bounds, or names a model alone; what is refused says why, as a client's fault.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::gateway;
  namespace limits = ovir::limits;
  for (const ollama_task task : {ollama_task::chat, ollama_task::generate, ollama_task::embed,
                                 ollama_task::embeddings, ollama_task::show, ollama_task::pull}) {
    const auto read =
        read_ollama(task, {reinterpret_cast<const char*>(data), size}, limits::api_deadline_max);
    if (const auto* const refused = std::get_if<api_error>(&read)) {
      require(refused->status == 400 && !refused->message.empty() && !body_of(*refused).empty());
      continue;
    }
    const auto& r = std::get<ollama_request>(read);
    if (r.model_alone) {
      require(r.asked.messages.empty() && r.asked.prompts.empty());
      continue;
    }
    const bool vector = task == ollama_task::embed || task == ollama_task::embeddings;
    require(r.asked.asked.embedding.has_value() == vector && r.asked.n == 1);
    require(vector || r.asked.messages.size() + r.asked.prompts.size() >= 1);
    require(r.asked.prompts.size() <= limits::api_embeddings_max);
    require(bool{ovir::check(r.asked.asked.sampling)});
    require(r.asked.deadline.count() > 0 && r.asked.deadline <= limits::api_deadline_max);
  }
  return 0;
}
