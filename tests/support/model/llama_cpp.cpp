#include "tests/support/model/llama_cpp.hpp"

#include "tests/support/model/peer_library.hpp"

#include <cstring>
#include <stdexcept>

namespace ovir::test {

namespace {

/// llama.h's parameter structures, whose beginnings are all that is known of them here: they are
/// given back as the library's own defaults made them.
struct opaque_parameters {
  alignas(16) unsigned char bytes[512];
};

struct batch {
  std::int32_t n_tokens;
  std::int32_t* token;
  float* embd;
  std::int32_t* pos;
  std::int32_t* n_seq_id;
  std::int32_t** seq_id;
  std::int8_t* logits;
};

/// Keeps what llama.cpp says in case it fails; `data` is a string.
void keep_log(int /*level*/, const char* text, void* data) {
  constexpr std::size_t kept = 2000;
  auto& log = *static_cast<std::string*>(data);
  log += text;
  log.erase(0, log.size() > kept ? log.size() - kept : 0);
}

std::string& log_text() {
  static std::string log;
  return log;
}

} // namespace

struct llama_cpp::parts {
  explicit parts(const std::filesystem::path& folder)
      : base{folder / "libggml-base.so"}, ggml{folder / "libggml.v0.5.0.so"},
        llama{folder / "libllama.v0.5.0.so"} {
    llama.function<void(void (*)(int, const char*, void*), void*)>("llama_log_set")(keep_log,
                                                                                    &log_text());
    ggml.function<void(const char*)>("ggml_backend_load_all_from_path")(folder.c_str());
    llama.function<void()>("llama_backend_init")();
  }
  ~parts() {
    if (model != nullptr) {
      llama.function<void(void*)>("llama_model_free")(model);
    }
  }
  parts(const parts&) = delete;
  parts& operator=(const parts&) = delete;

  peer_library base;
  peer_library ggml;
  peer_library llama;
  void* model{nullptr};
  void* adapter{nullptr}; ///< goes with the model
};

llama_cpp::llama_cpp(const std::filesystem::path& folder, const std::filesystem::path& model)
    : parts_(std::make_shared<parts>(folder)) {
  const auto defaults = parts_->llama.function<opaque_parameters()>("llama_model_default_params")();
  parts_->model = parts_->llama.function<void*(const char*, opaque_parameters)>(
      "llama_model_load_from_file")(model.c_str(), defaults);
  if (parts_->model == nullptr) {
    throw std::runtime_error("llama.cpp does not load the model: " + log_text());
  }
}

void llama_cpp::use_adapter(const std::filesystem::path& adapter) {
  parts_->adapter = parts_->llama.function<void*(void*, const char*)>("llama_adapter_lora_init")(
      parts_->model, adapter.c_str());
  if (parts_->adapter == nullptr) {
    throw std::runtime_error("llama.cpp does not load the adapter: " + log_text());
  }
}

std::vector<float> llama_cpp::logits_of(const std::vector<token_id>& ids,
                                        std::uint32_t vocabulary) const {
  const peer_library& llama = parts_->llama;
  auto parameters = llama.function<opaque_parameters()>("llama_context_default_params")();
  const std::uint32_t sizes[] = {256, 256, 256}; // n_ctx, n_batch and n_ubatch come first
  std::memcpy(parameters.bytes, sizes, sizeof sizes);
  void* const context = llama.function<void*(void*, opaque_parameters)>("llama_init_from_model")(
      parts_->model, parameters);
  if (context == nullptr) {
    throw std::runtime_error("llama.cpp makes no context: " + log_text());
  }
  llama.function<void(void*, std::int32_t, std::int32_t)>("llama_set_n_threads")(context, 1, 1);
  if (parts_->adapter != nullptr) {
    float scale = 1;
    if (llama.function<std::int32_t(void*, void**, std::size_t, float*)>("llama_set_adapters_lora")(
            context, &parts_->adapter, 1, &scale) != 0) {
      throw std::runtime_error("llama.cpp does not use the adapter: " + log_text());
    }
  }
  std::vector<std::int32_t> tokens(ids.begin(), ids.end());
  std::vector<std::int32_t> positions(tokens.size());
  std::vector<std::int32_t> counts(tokens.size(), 1);
  std::int32_t sequence = 0;
  std::vector<std::int32_t*> sequences(tokens.size(), &sequence);
  std::vector<std::int8_t> wanted(tokens.size(), 1);
  for (std::size_t i = 0; i < positions.size(); ++i) {
    positions[i] = static_cast<std::int32_t>(i);
  }
  const auto n = static_cast<std::int32_t>(tokens.size());
  const int failed = llama.function<std::int32_t(void*, batch)>("llama_decode")(
      context, {n, tokens.data(), nullptr, positions.data(), counts.data(), sequences.data(),
                wanted.data()});
  std::vector<float> all;
  for (std::int32_t i = 0; failed == 0 && i < n; ++i) {
    const float* const row =
        llama.function<float*(void*, std::int32_t)>("llama_get_logits_ith")(context, i);
    all.insert(all.end(), row, row + vocabulary);
  }
  llama.function<void(void*)>("llama_free")(context);
  return all;
}

std::vector<token_id> llama_cpp::tokenize(const std::string& text) const {
  const peer_library& llama = parts_->llama;
  const void* const vocabulary =
      llama.function<const void*(const void*)>("llama_model_get_vocab")(parts_->model);
  std::vector<std::int32_t> ids(text.size() + 16);
  const std::int32_t count = llama.function<std::int32_t(const void*, const char*, std::int32_t,
                                                         std::int32_t*, std::int32_t, bool, bool)>(
      "llama_tokenize")(vocabulary, text.data(), static_cast<std::int32_t>(text.size()), ids.data(),
                        static_cast<std::int32_t>(ids.size()), false, false);
  if (count < 0) {
    throw std::runtime_error("llama.cpp does not tokenize: " + log_text());
  }
  return {ids.begin(), ids.begin() + count};
}

void llama_cpp::quantize(const std::filesystem::path& folder, const std::filesystem::path& from,
                         const std::filesystem::path& to, std::uint32_t file_type) {
  const parts library{folder};
  auto parameters =
      library.llama.function<opaque_parameters()>("llama_model_quantize_default_params")();
  const std::uint32_t choices[] = {1, file_type}; // threads and recipe come first
  std::memcpy(parameters.bytes, choices, sizeof choices);
  const std::uint32_t failed =
      library.llama.function<std::uint32_t(const char*, const char*, const opaque_parameters*)>(
          "llama_model_quantize")(from.c_str(), to.c_str(), &parameters);
  if (failed != 0) {
    throw std::runtime_error("llama.cpp does not quantise the model: " + log_text());
  }
}

} // namespace ovir::test
