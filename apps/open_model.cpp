#include "apps/open_model.hpp"

#include "compute/numerics.hpp"
#include "messages/limits.hpp"

#include <utility>

namespace ovir::apps {

namespace {

error about_a_file(error e) {
  if (e.code == errc::invalid_argument) {
    e.code = errc::unsupported;
  }
  return e;
}

} // namespace

result<std::unique_ptr<storage::mapped_file>> map_file(storage::env& environment,
                                                       const std::string& path) {
  auto mapped = environment.map(path);
  if (!mapped) {
    return about_a_file(mapped.error());
  }
  return mapped;
}

result<std::string> read_text(storage::env& environment, const std::string& path) {
  auto text = environment.read(path == "-" ? "/dev/stdin" : path, limits::text_file_bytes_max);
  if (!text) {
    return about_a_file(text.error());
  }
  return text;
}

result<open_model> parse_model(std::string path, std::unique_ptr<storage::mapped_file> file) {
  auto metadata = compute::gguf::parse(file->bytes());
  if (!metadata) {
    return in_context(path, metadata.error());
  }
  return open_model{std::move(path), std::move(file), std::move(metadata).value()};
}

result<ready_model> prepare_model(std::string path, std::unique_ptr<storage::mapped_file> file) {
  OVIR_ASSIGN(open_model source, parse_model(std::move(path), std::move(file)));
  auto weights = compute::bind_model(source.metadata);
  if (!weights) {
    return in_context(source.path, weights.error());
  }
  auto vocabulary = compute::tokenizer::make(source.metadata);
  if (!vocabulary) {
    return in_context(source.path, vocabulary.error());
  }
  if ((*vocabulary)->vocabulary() != weights->config.vocabulary) {
    return fail(errc::malformed,
                "{}: the tokenizer has {} tokens but the embedding {}; the file is inconsistent, "
                "convert the model again",
                source.path, (*vocabulary)->vocabulary(), weights->config.vocabulary);
  }
  return ready_model{std::move(source), std::move(weights).value(), std::move(vocabulary).value()};
}

result<const compute::kernel_set*> kernels_from(const std::string& name) {
  std::optional<compute::isa> wanted;
  if (!name.empty()) {
    OVIR_ASSIGN(wanted, compute::isa_from(name));
  }
  OVIR_ASSIGN(const compute::kernel_set* const kernels, compute::select_kernels(wanted));
  OVIR_TRY(compute::self_test(*kernels));
  return kernels;
}

} // namespace ovir::apps
