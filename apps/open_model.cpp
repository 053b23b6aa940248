#include "apps/open_model.hpp"

#include "compute/gguf/join_adapter.hpp"
#include "compute/gguf/split_gguf.hpp"
#include "compute/kernels/numerics.hpp"
#include "messages/hash_pieces.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace ovir::apps {

namespace {

error about_a_file(error e) {
  if (e.code == errc::invalid_argument) {
    e.code = errc::unsupported;
  }
  return e;
}

/// How much is hashed before pages are given back.
constexpr std::size_t hashed_at_once = std::size_t{32} << 20U;

/// The files of one model.
class several_files final : public storage::mapped_file {
public:
  explicit several_files(std::vector<std::unique_ptr<storage::mapped_file>> files)
      : files_(std::move(files)) {}

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept override {
    return files_.front()->bytes();
  }
  void release_pages() noexcept override {
    for (const auto& file : files_) {
      file->release_pages();
    }
  }

private:
  std::vector<std::unique_ptr<storage::mapped_file>> files_;
};

result<compute::gguf> parse_alone(const std::string& path, const storage::mapped_file& file) {
  auto metadata = compute::gguf::parse(file.bytes());
  if (!metadata) {
    return in_context(path, metadata.error());
  }
  return metadata;
}

/// The names of all files, by that of the first.
result<std::vector<std::string>> split_names(const std::string& path,
                                             const compute::split_place& place) {
  const auto ending = [&](std::uint32_t number) {
    return fmt::format("-{:05}-of-{:05}.gguf", number, place.count);
  };
  const std::string own = ending(place.number + 1);
  if (path.size() < own.size() || path.substr(path.size() - own.size()) != own) {
    return fail(errc::unsupported,
                "{} is file {} of {} of one model; to be found, each must be named as it was made, "
                "this one ...{}",
                path, place.number + 1, place.count, own);
  }
  const std::string stem = path.substr(0, path.size() - own.size());
  if (place.number != 0) {
    return fail(errc::unsupported, "{} is file {} of {} of one model; name the first, {}{}", path,
                place.number + 1, place.count, stem, ending(1));
  }
  std::vector<std::string> names;
  for (std::uint32_t i = 1; i <= place.count; ++i) {
    names.push_back(stem + ending(i));
  }
  return names;
}

result<ready_model> bind(open_model source) {
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

std::uint64_t bytes_of(const open_model& model) {
  return std::accumulate(
      model.parts.begin(), model.parts.end(), std::uint64_t{0},
      [](std::uint64_t sum, std::span<const std::byte> part) { return sum + part.size(); });
}

digest digest_of(const open_model& model) {
  std::vector<std::span<const std::byte>> pieces;
  for (std::span<const std::byte> part : model.parts) {
    for (; !part.empty(); part = part.subspan(std::min(part.size(), hashed_at_once))) {
      pieces.push_back(part.first(std::min(part.size(), hashed_at_once)));
    }
  }
  return hash_plain_in_order(pieces, [&model] { model.file->release_pages(); });
}

namespace {

/// A base with an adapter's pairs among its tensors.
result<open_model> open_adapted(storage::env& environment, const std::string& path,
                                const compute::adapted_path& names) {
  OVIR_ASSIGN(open_model base, open_model_at(environment, names.base));
  OVIR_ASSIGN(auto file, map_file(environment, names.adapter));
  OVIR_ASSIGN(compute::gguf pairs, parse_alone(names.adapter, *file));
  auto joined = compute::join_adapter(std::move(base.metadata), std::move(pairs));
  if (!joined) {
    return in_context(path, joined.error());
  }
  open_model model;
  model.path = path;
  model.parts = std::move(base.parts);
  model.parts.push_back(file->bytes());
  model.metadata = std::move(joined).value();
  std::vector<std::unique_ptr<storage::mapped_file>> files;
  files.push_back(std::move(base.file));
  files.push_back(std::move(file));
  model.file = std::make_unique<several_files>(std::move(files));
  return model;
}

} // namespace

result<open_model> open_model_at(storage::env& environment, const std::string& path) {
  auto mapped = map_file(environment, path);
  if (const auto names = compute::adapted_path_from(path); !mapped && names) {
    return open_adapted(environment, path, *names);
  }
  OVIR_TRY(mapped);
  auto file = std::move(mapped).value();
  const auto first = parse_alone(path, *file);
  OVIR_TRY(first);
  const auto place = compute::split_place_of(*first);
  if (!place) {
    return in_context(path, place.error());
  }
  if (place->count == 1) {
    return parse_model(path, std::move(file));
  }
  OVIR_ASSIGN(const std::vector<std::string> names, split_names(path, *place));
  std::vector<std::unique_ptr<storage::mapped_file>> files;
  std::vector<compute::gguf> parts;
  files.push_back(std::move(file));
  parts.push_back(*first);
  for (std::size_t i = 1; i < names.size(); ++i) {
    auto next = map_file(environment, names[i]);
    if (!next) {
      return fail(next.error().code, "{} is the first of {} files of one model, but: {}", path,
                  names.size(), next.error().message);
    }
    files.push_back(std::move(*next));
    OVIR_ASSIGN(compute::gguf part, parse_alone(names[i], *files.back()));
    parts.push_back(std::move(part));
  }
  auto joined = compute::join_split(std::move(parts));
  if (!joined) {
    return in_context(path, joined.error());
  }
  open_model model;
  model.path = path;
  for (const auto& one : files) {
    model.parts.push_back(one->bytes());
  }
  model.file = std::make_unique<several_files>(std::move(files));
  model.metadata = std::move(joined).value();
  return model;
}

result<open_model> parse_model(std::string path, std::unique_ptr<storage::mapped_file> file) {
  OVIR_ASSIGN(compute::gguf metadata, parse_alone(path, *file));
  const auto place = compute::split_place_of(metadata);
  if (!place || place->count != 1) {
    return in_context(path, place ? fail(errc::unsupported,
                                         "the model is in {} files, and here only one can be read",
                                         place->count)
                                  : place.error());
  }
  const std::span<const std::byte> bytes = file->bytes();
  return open_model{std::move(path), std::move(file), {bytes}, std::move(metadata)};
}

result<ready_model> prepare_model(std::string path, std::unique_ptr<storage::mapped_file> file) {
  OVIR_ASSIGN(open_model source, parse_model(std::move(path), std::move(file)));
  return bind(std::move(source));
}

result<ready_model> ready_model_at(storage::env& environment, const std::string& path) {
  OVIR_ASSIGN(open_model source, open_model_at(environment, path));
  return bind(std::move(source));
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
