#pragma once

#include "compute/gguf/gguf.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "compute/text/tokenizer.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ovir::apps {

/// A model file opened for reading. Views point into `file`; moving keeps them valid.
struct open_model {
  std::string path;                           ///< as the user named it; for errors and reports
  std::unique_ptr<storage::mapped_file> file; ///< the first, where there are several: it owns all
  std::vector<std::span<const std::byte>> parts; ///< of every file, in order
  compute::gguf metadata;
};

/// Bytes of all files of a model.
[[nodiscard]] std::uint64_t bytes_of(const open_model& model);
/// Plain BLAKE3 of its file, or of all files one behind the other.
[[nodiscard]] digest digest_of(const open_model& model);

/// A model ready to compute with.
struct ready_model {
  open_model source;
  compute::model weights;
  std::unique_ptr<compute::tokenizer> vocabulary;
};

/// Maps a file that a user named. What is wrong with a file is never a usage error: a directory is
/// `unsupported` here.
[[nodiscard]] result<std::unique_ptr<storage::mapped_file>> map_file(storage::env& environment,
                                                                     const std::string& path);
/// Reads a whole text file ("-" is standard input), at most limits::text_file_bytes_max.
[[nodiscard]] result<std::string> read_text(storage::env& environment, const std::string& path);

/// Maps and parses a model file, and with the first of several (`-00001-of-0000N.gguf`) all others
/// beside it, of which it makes one model. "BASE.gguf+ADAPTER.gguf", where no file is called so, is
/// the model of the first with the LoRA adapter of the second.
[[nodiscard]] result<open_model> open_model_at(storage::env& environment, const std::string& path);
/// The same, bound and with its tokenizer.
[[nodiscard]] result<ready_model> ready_model_at(storage::env& environment,
                                                 const std::string& path);

/// Parses the metadata of a model that is one file; one of several is `unsupported`. Errors name
/// the path.
[[nodiscard]] result<open_model> parse_model(std::string path,
                                             std::unique_ptr<storage::mapped_file> file);
/// Parses, binds every tensor and makes the tokenizer.
[[nodiscard]] result<ready_model> prepare_model(std::string path,
                                                std::unique_ptr<storage::mapped_file> file);

/// The kernels named by an option or OVIR_ISA, or the best ones when `name` is empty, after their
/// self-test on this machine.
[[nodiscard]] result<const compute::kernel_set*> kernels_from(const std::string& name);

} // namespace ovir::apps
