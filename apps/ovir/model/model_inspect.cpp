#include "apps/ovir/base/command.hpp"
#include "compute/base/printable.hpp"
#include "compute/model/model_config.hpp"
#include "messages/digest.hpp"

#include <algorithm>
#include <cmath>

namespace ovir::apps {

namespace {

struct options {
  std::string file;
  bool as_json{false};
};

constexpr std::size_t array_elements_shown = 8;
constexpr std::size_t text_bytes_shown = 120;

std::string_view type_name(compute::gguf_type type) {
  using enum compute::gguf_type;
  switch (type) {
  case u8: return "u8";
  case i8: return "i8";
  case u16: return "u16";
  case i16: return "i16";
  case u32: return "u32";
  case i32: return "i32";
  case f32: return "f32";
  case boolean: return "bool";
  case string: return "string";
  case array: return "array";
  case u64: return "u64";
  case i64: return "i64";
  case f64: return "f64";
  }
  return "?";
}

// The first elements of an array; an empty list for arrays of arrays.
json first_elements(const compute::gguf_array& array) {
  json list = json::array();
  const auto take = [&](const auto& values) {
    for (std::size_t i = 0; i < std::min(values.size(), array_elements_shown); ++i) {
      list.push_back(values[i]);
    }
  };
  if (array.element == compute::gguf_type::string) {
    if (const auto texts = compute::strings_of(array)) {
      take(*texts);
    }
  } else if (array.element == compute::gguf_type::f32) {
    if (const auto floats = compute::floats_of(array)) {
      take(*floats);
    }
  } else if (const auto integers = compute::integers_of(array)) {
    take(*integers);
  }
  return list;
}

json value_of(const compute::gguf_entry& entry) {
  return std::visit(
      [](const auto& value) -> json {
        using value_type = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<value_type, compute::gguf_array>) {
          return {{"count", value.count},
                  {"element", type_name(value.element)},
                  {"first", first_elements(value)}};
        } else if constexpr (std::is_same_v<value_type, double>) {
          // JSON has no NaN or infinity.
          return std::isfinite(value) ? json(value) : json(fmt::format("{}", value));
        } else {
          return value;
        }
      },
      entry.value);
}

std::string cell_of(const compute::gguf_entry& entry) {
  const json value = value_of(entry);
  if (const auto* array = std::get_if<compute::gguf_array>(&entry.value)) {
    std::string cell = fmt::format("{} x {}:", array->count, type_name(array->element));
    for (const json& element : value["first"]) {
      cell += element.is_string()
                  ? fmt::format(" \"{}\"",
                                compute::printable(element.get_ref<const std::string&>(), 24))
                  : " " + element.dump();
    }
    return cell + (array->count > value["first"].size() ? " ..." : "");
  }
  return value.is_string()
             ? compute::printable(value.get_ref<const std::string&>(), text_bytes_shown)
             : value.dump();
}

std::string type_of(const compute::gguf_tensor& tensor) {
  const std::string_view name = compute::name_of_raw_type(tensor.raw_type);
  return name.empty() ? fmt::format("type {}", tensor.raw_type) : std::string{name};
}

std::string shape_text(const compute::gguf_tensor& tensor) {
  std::string text;
  for (std::uint32_t i = 0; i < std::max(tensor.dims, 1U); ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : " x ", tensor.shape[i]);
  }
  return text;
}

json document_of(const open_model& model, const digest& file) {
  json metadata = json::object();
  for (const compute::gguf_entry& entry : model.metadata.entries()) {
    metadata[std::string{entry.key}] = {{"type", type_name(entry.type)},
                                        {"value", value_of(entry)}};
  }
  json tensors = json::array();
  for (const compute::gguf_tensor& tensor : model.metadata.tensors()) {
    json shape = json::array();
    for (std::uint32_t i = 0; i < tensor.dims; ++i) {
      shape.push_back(tensor.shape[i]);
    }
    tensors.push_back({{"name", tensor.name},
                       {"type", type_of(tensor)},
                       {"shape", std::move(shape)},
                       {"offset", tensor.offset},
                       {"bytes", tensor.data.size()}});
  }
  return {{"file", model.path},
          {"bytes", bytes_of(model)},
          {"files", model.parts.size()},
          {"digest", to_hex(file)},
          {"cid", to_cid(file)},
          {"version", model.metadata.version()},
          {"alignment", model.metadata.alignment()},
          {"data_offset", model.metadata.data_offset()},
          {"metadata", std::move(metadata)},
          {"tensors", std::move(tensors)}};
}

std::string table_of(const open_model& model, const digest& file) {
  const compute::gguf& gguf = model.metadata;
  const std::size_t files = model.parts.size();
  std::string text = fmt::format("{}: GGUF v{}, {}{}, {} entries, {} tensors\ndigest {}\n\n",
                                 model.path, gguf.version(), bytes_text(bytes_of(model)),
                                 files == 1 ? "" : fmt::format(" in {} files", files),
                                 gguf.entries().size(), gguf.tensors().size(), to_hex(file));
  std::size_t width = 0;
  for (const compute::gguf_entry& entry : gguf.entries()) {
    width = std::max(width, compute::printable(entry.key).size());
  }
  for (const compute::gguf_entry& entry : gguf.entries()) {
    text += fmt::format("{:<{}}  {:<6}  {}\n", compute::printable(entry.key), width,
                        type_name(entry.type), cell_of(entry));
  }
  width = 6;
  for (const compute::gguf_tensor& tensor : gguf.tensors()) {
    width = std::max(width, compute::printable(tensor.name).size());
  }
  text += fmt::format("\n{:<{}}  {:<8}  {:<18}  {:>10}  {:>12}\n", "tensor", width, "type", "shape",
                      "size", "offset");
  for (const compute::gguf_tensor& tensor : gguf.tensors()) {
    text += fmt::format("{:<{}}  {:<8}  {:<18}  {:>10}  {:>12}\n", compute::printable(tensor.name),
                        width, type_of(tensor), shape_text(tensor),
                        tensor.data.empty() ? "unknown" : bytes_text(tensor.data.size()),
                        tensor.offset);
  }
  return text;
}

result<exit_code> inspect(const options& given, surroundings& around) {
  OVIR_ASSIGN(const open_model model, open_model_at(around.environment, given.file));
  const digest whole = digest_of(model);
  if (given.as_json) {
    OVIR_TRY(write_document(document_of(model, whole)));
  } else {
    OVIR_TRY(write_output(table_of(model, whole)));
  }
  // A file can be sound and still be nothing this build computes with: say so, and succeed.
  if (const auto bound = compute::bind_model(model.metadata); !bound) {
    write_note(fmt::format("note: ovir cannot run this file: {}\n", bound.error().message));
  }
  return exit_code::done;
}

} // namespace

void add_model_inspect(CLI::App& model, chosen_command& chosen) {
  CLI::App* const command =
      model.add_subcommand("inspect", "Print a GGUF file's metadata and tensors");
  const auto given = std::make_shared<options>();
  command->footer("Example:\n  ovir model inspect MODEL.gguf --json");
  command->add_option("FILE", given->file, "The GGUF file")->required();
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return inspect(*given, around); };
  });
}

} // namespace ovir::apps
