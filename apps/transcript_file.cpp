#include "apps/transcript_file.hpp"

#include "apps/console.hpp"
#include "messages/limits/general.hpp"

#include <cmath>
#include <limits>

// Grammar: docs/formats/transcript-file.md.
namespace ovir::apps {

namespace {

constexpr std::string_view format_name = "ovir-transcript";
constexpr std::uint32_t format_version = 1;
constexpr std::size_t depth_max = 8;
constexpr std::size_t name_bytes_max = 256;
constexpr std::string_view cancelled_name = "cancelled";

// The nesting of a JSON text, so that a parser is never given a tower of brackets.
std::size_t depth_of(std::string_view text) {
  std::size_t depth = 0;
  std::size_t deepest = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      i += c == '\\' ? 1 : 0;
      quoted = c != '"';
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

// Typed access to the members of one object; errors name the member.
class members {
public:
  members(const json& object, std::string where) : object_(object), where_(std::move(where)) {}

  [[nodiscard]] result<const json*> at(std::string_view key) const {
    if (!object_.is_object()) {
      return fail(errc::malformed, "{} is not an object", where_);
    }
    const auto found = object_.find(key);
    if (found == object_.end()) {
      return fail(errc::malformed, "{} lacks \"{}\"", where_, key);
    }
    return &*found;
  }

  [[nodiscard]] result<std::uint64_t> number(std::string_view key, std::uint64_t max) const {
    OVIR_ASSIGN(const json* const value, at(key));
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() > max) {
      return fail(errc::malformed, "\"{}\" of {} is not a whole number from 0 to {}", key, where_,
                  max);
    }
    return value->get<std::uint64_t>();
  }

  [[nodiscard]] result<std::uint32_t> small_number(std::string_view key, std::uint32_t max) const {
    OVIR_ASSIGN(const std::uint64_t value, number(key, max));
    return static_cast<std::uint32_t>(value);
  }

  [[nodiscard]] result<double> real(std::string_view key) const {
    OVIR_ASSIGN(const json* const value, at(key));
    if (!value->is_number()) {
      return fail(errc::malformed, "\"{}\" of {} is not a number", key, where_);
    }
    return value->get<double>();
  }

  [[nodiscard]] result<float> real_float(std::string_view key) const {
    OVIR_ASSIGN(const double value, real(key));
    // What a binary32 cannot hold exactly was not written by us and would not be used exactly.
    if (!(std::abs(value) <= std::numeric_limits<float>::max()) ||
        static_cast<double>(static_cast<float>(value)) != value) {
      return fail(errc::malformed, "\"{}\" of {} is not a binary32 number", key, where_);
    }
    return static_cast<float>(value);
  }

  [[nodiscard]] result<std::string> text(std::string_view key) const {
    OVIR_ASSIGN(const json* const value, at(key));
    if (!value->is_string() || value->get_ref<const std::string&>().size() > name_bytes_max) {
      return fail(errc::malformed, "\"{}\" of {} is not a text of at most {} bytes", key, where_,
                  name_bytes_max);
    }
    return value->get<std::string>();
  }

  [[nodiscard]] result<digest> hash(std::string_view key) const {
    OVIR_ASSIGN(const std::string value, text(key));
    auto parsed = digest_from_hex(value);
    if (!parsed) {
      return fail(errc::malformed, "\"{}\" of {} is not a digest of 64 hexadecimal digits", key,
                  where_);
    }
    return parsed;
  }

  [[nodiscard]] result<const json*> list(std::string_view key) const {
    OVIR_ASSIGN(const json* const value, at(key));
    if (!value->is_array()) {
      return fail(errc::malformed, "\"{}\" of {} is not a list", key, where_);
    }
    return value;
  }

private:
  const json& object_;
  std::string where_;
};

result<std::vector<token_id>> parse_tokens(const members& file, std::string_view key) {
  OVIR_ASSIGN(const json* const list, file.list(key));
  if (list->size() > limits::context_max) {
    return fail(errc::over_limit, "\"{}\" has {} tokens; the most is {}", key, list->size(),
                limits::context_max);
  }
  std::vector<token_id> ids;
  ids.reserve(list->size());
  for (const json& id : *list) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= limits::vocabulary_max) {
      return fail(errc::malformed, "entry {} of \"{}\" is not a token id", ids.size(), key);
    }
    ids.push_back(id.get<token_id>());
  }
  return ids;
}

result<std::string> parse_finish_reason(const members& file) {
  OVIR_ASSIGN(std::string reason, file.text("finish_reason"));
  if (reason != "stop" && reason != "length" && reason != cancelled_name) {
    return fail(errc::malformed,
                "\"finish_reason\" of the transcript is neither stop, length nor cancelled");
  }
  return reason;
}

json to_json(const sampling_params& params) {
  json object{{"seed", params.seed}};
  const auto put = [&]<class Number>(const sampling_row<Number>& row) {
    if constexpr (std::is_integral_v<Number>) {
      object[row.name] = params.*row.value;
    } else {
      object[row.name] = static_cast<double>(params.*row.value);
    }
  };
  for_each_common_parameter(put);
  if (has_further(params)) {
    for_each_further_parameter(put);
  }
  for (const token_bias& one : params.logit_bias) {
    object["logit_bias"].push_back({one.token, static_cast<double>(one.bias)});
  }
  return object;
}

/// Pairs of token and bias; none where there are none.
result<std::vector<token_bias>> parse_biases(const json& sampling) {
  std::vector<token_bias> biases;
  const auto list = sampling.find("logit_bias");
  if (list == sampling.end()) {
    return biases;
  }
  if (!list->is_array() || list->size() > limits::token_biases_max) {
    return fail(errc::malformed, "\"logit_bias\" is not a list of at most {} pairs",
                limits::token_biases_max);
  }
  for (const json& pair : *list) {
    const bool whole = pair.is_array() && pair.size() == 2 && pair[0].is_number_unsigned() &&
                       pair[0].get<std::uint64_t>() < limits::vocabulary_max && pair[1].is_number();
    if (!whole ||
        static_cast<double>(static_cast<float>(pair[1].get<double>())) != pair[1].get<double>()) {
      return fail(errc::malformed,
                  "entry {} of \"logit_bias\" is not a token and a binary32 number", biases.size());
    }
    biases.push_back({pair[0].get<token_id>(), pair[1].get<float>()});
  }
  return biases;
}

result<sampling_params> parse_sampling(const members& file) {
  OVIR_ASSIGN(const json* const object, file.at("sampling"));
  const members fields{*object, "\"sampling\""};
  sampling_params params;
  result<void> good;
  const auto read = [&]<class Number>(const sampling_row<Number>& row) {
    const auto take = [&](const auto& value) {
      if (value) {
        params.*row.value = *value;
      } else if (good) {
        good = value.error();
      }
    };
    if constexpr (std::is_integral_v<Number>) {
      take(fields.small_number(row.name, row.most));
    } else if constexpr (std::is_same_v<Number, float>) {
      take(fields.real_float(row.name));
    } else {
      take(fields.real(row.name));
    }
  };
  for_each_common_parameter(read);
  for_each_further_parameter([&](const auto& row) {
    if (object->is_object() && object->contains(row.name)) {
      read(row);
    }
  });
  OVIR_TRY(good);
  OVIR_ASSIGN(params.logit_bias, parse_biases(*object));
  OVIR_ASSIGN(params.seed, fields.number("seed", std::numeric_limits<std::uint64_t>::max()));
  if (const auto sound = check(params); !sound) {
    return fail(errc::malformed, "\"sampling\": {}", sound.error().message);
  }
  return params;
}

result<std::vector<compute::unit_leaf>> parse_units(const members& file) {
  OVIR_ASSIGN(const json* const list, file.list("units"));
  std::vector<compute::unit_leaf> units;
  units.reserve(list->size());
  for (const json& entry : *list) {
    const members fields{entry, fmt::format("unit {}", units.size())};
    compute::unit_leaf leaf;
    OVIR_ASSIGN(leaf.unit.window, fields.small_number("window", limits::context_max));
    OVIR_ASSIGN(leaf.unit.layer, fields.small_number("layer", limits::layers_max));
    OVIR_ASSIGN(leaf.positions, fields.small_number("positions", limits::window_positions));
    OVIR_ASSIGN(leaf.boundary, fields.hash("boundary"));
    units.push_back(leaf);
  }
  return units;
}

result<std::vector<std::pair<position, digest>>> parse_logits(const members& file) {
  OVIR_ASSIGN(const json* const list, file.list("logits"));
  std::vector<std::pair<position, digest>> logits;
  logits.reserve(list->size());
  for (const json& entry : *list) {
    const members fields{entry, fmt::format("entry {} of \"logits\"", logits.size())};
    OVIR_ASSIGN(const position at, fields.small_number("position", limits::context_max));
    OVIR_ASSIGN(const digest value, fields.hash("digest"));
    logits.emplace_back(at, value);
  }
  return logits;
}

result<void> check_kind(const members& file) {
  OVIR_ASSIGN(const std::string format, file.text("format"));
  OVIR_ASSIGN(const std::uint64_t version, file.number("version", 1'000'000));
  OVIR_ASSIGN(const std::string profile, file.text("profile"));
  if (format != format_name) {
    return fail(errc::malformed, "\"format\" is not \"{}\"", format_name);
  }
  if (version != format_version) {
    return fail(errc::unsupported,
                "version {} of the format is unknown here; this program reads {}", version,
                format_version);
  }
  if (profile != compute::profile_name) {
    return fail(errc::unsupported, "the profile is not \"{}\", the only one this program knows",
                compute::profile_name);
  }
  return {};
}

result<transcript_file> read_document(const json& document) {
  const members fields{document, "the transcript"};
  OVIR_TRY(check_kind(fields));
  transcript_file file;
  OVIR_ASSIGN(const json* const model, fields.at("model"));
  const members model_fields{*model, "\"model\""};
  OVIR_ASSIGN(file.model_name, model_fields.text("name"));
  OVIR_ASSIGN(file.model_file, model_fields.hash("file"));
  OVIR_ASSIGN(file.prompt, parse_tokens(fields, "prompt"));
  OVIR_ASSIGN(file.output, parse_tokens(fields, "output"));
  OVIR_ASSIGN(file.sampling, parse_sampling(fields));
  OVIR_ASSIGN(file.finish_reason, parse_finish_reason(fields));
  OVIR_ASSIGN(file.hashed_layers, fields.small_number("hashed_layers", limits::layers_max - 1));
  OVIR_ASSIGN(file.positions, fields.small_number("positions", limits::context_max));
  OVIR_ASSIGN(file.units, parse_units(fields));
  OVIR_ASSIGN(file.logits, parse_logits(fields));
  OVIR_ASSIGN(file.root, fields.hash("root"));
  return file;
}

// All tokens but the last drawn are fed. Who cancels a request may stop it earlier, or just after
// that token was sent on.
std::optional<failure> check_positions(const transcript_file& file) {
  const std::size_t tokens = file.prompt.size() + file.output.size();
  const std::size_t drawn_from = file.output.empty() ? 0 : tokens - 1;
  const bool cancelled = file.finish_reason == cancelled_name;
  const bool possible = cancelled ? file.positions >= drawn_from && file.positions <= tokens
                                  : file.positions == drawn_from && drawn_from > 0;
  if (possible) {
    return std::nullopt;
  }
  return failure{fmt::format("{} positions are stated, which {} tokens in and {} out cannot make",
                             file.positions, file.prompt.size(), file.output.size()),
                 std::nullopt, std::nullopt};
}

// The set of draws that the tokens imply: one from the last position of the prompt and from each
// output token but the last.
std::optional<failure> check_draws(const transcript_file& file) {
  for (std::size_t i = 0; i < file.output.size(); ++i) {
    const auto expected = static_cast<position>(file.prompt.size() - 1 + i);
    if (i >= file.logits.size() || file.logits[i].first != expected) {
      return failure{fmt::format("output token {} has no logits it was drawn from: position {} is "
                                 "missing or out of order",
                                 i, expected),
                     std::nullopt, expected};
    }
  }
  if (file.logits.size() > file.output.size()) {
    const position extra = file.logits[file.output.size()].first;
    return failure{fmt::format("the logits of position {} belong to no output token", extra),
                   std::nullopt, extra};
  }
  return std::nullopt;
}

} // namespace

std::vector<token_id> transcript_file::tokens() const {
  std::vector<token_id> all = prompt;
  all.insert(all.end(), output.begin(), output.end());
  return all;
}

std::string to_text(const transcript_file& file) {
  json units = json::array();
  for (const compute::unit_leaf& leaf : file.units) {
    units.push_back({{"window", leaf.unit.window},
                     {"layer", leaf.unit.layer},
                     {"positions", leaf.positions},
                     {"boundary", to_hex(leaf.boundary)}});
  }
  json logits = json::array();
  for (const auto& [at, value] : file.logits) {
    logits.push_back({{"position", at}, {"digest", to_hex(value)}});
  }
  const json document{
      {"format", format_name},
      {"version", format_version},
      {"profile", compute::profile_name},
      {"model",
       {{"name", file.model_name.substr(0, name_bytes_max)}, {"file", to_hex(file.model_file)}}},
      {"prompt", file.prompt},
      {"output", file.output},
      {"sampling", to_json(file.sampling)},
      {"finish_reason", file.finish_reason},
      {"hashed_layers", file.hashed_layers},
      {"positions", file.positions},
      {"units", std::move(units)},
      {"logits", std::move(logits)},
      {"root", to_hex(file.root)}};
  return to_text(document) + "\n";
}

result<transcript_file> parse_transcript_file(std::string_view text) {
  if (text.size() > limits::transcript_file_bytes_max) {
    return fail(errc::over_limit, "a transcript file has at most {} bytes, this one {}",
                limits::transcript_file_bytes_max, text.size());
  }
  if (depth_of(text) > depth_max) {
    return fail(errc::malformed, "is nested deeper than a transcript file ever is");
  }
  const json document = json::parse(text, nullptr, false);
  if (document.is_discarded()) {
    return fail(errc::malformed, "is not JSON; give a file written by ovir run --transcript");
  }
  return read_document(document);
}

std::vector<failure> check_root(const transcript_file& file) {
  if (file.prompt.empty()) {
    return {{"the prompt is empty, but a request has at least one token", {}, {}}};
  }
  if (auto wrong = check_positions(file)) {
    return {*wrong};
  }
  if (auto wrong = check_draws(file)) {
    return {*wrong};
  }
  compute::transcript leaves;
  for (const compute::unit_leaf& leaf : file.units) {
    if (const auto added = leaves.add_unit(leaf); !added) {
      return {{added.error().message, leaf.unit, {}}};
    }
  }
  for (const auto& [at, value] : file.logits) {
    if (const auto added = leaves.add_logits(at, value); !added) {
      return {{added.error().message, {}, at}};
    }
  }
  const auto root = leaves.root(file.hashed_layers, file.positions, file.tokens());
  if (!root) {
    return {{root.error().message, {}, {}}};
  }
  if (*root != file.root) {
    return {{fmt::format("the root stated is {}, the leaves and tokens give {}", to_hex(file.root),
                         to_hex(*root)),
             {},
             {}}};
  }
  return {};
}

} // namespace ovir::apps
