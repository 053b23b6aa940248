#include "gateway/batches/batch_record.hpp"

#include "gateway/http/parameters.hpp"
#include "messages/digest.hpp"
#include "messages/limits/batches.hpp"
#include "messages/limits/gateway.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <span>
#include <utility>

namespace ovir::gateway {

namespace {

constexpr std::string_view file_title = "ovir-file-v1";
constexpr std::string_view batch_title = "ovir-batch-v1";
constexpr std::string_view file_domain = "ovir/file-record/v1";
constexpr std::string_view batch_domain = "ovir/batch-record/v1";
constexpr std::string_view file_prefix = "file-";
constexpr std::string_view batch_prefix = "batch_";
constexpr std::size_t id_digits_of_records = 32;
constexpr std::uint64_t any_number = std::numeric_limits<std::int64_t>::max();

constexpr std::array<std::pair<batch_state, std::string_view>, 7> state_names{{
    {batch_state::validating, "validating"},
    {batch_state::in_progress, "in_progress"},
    {batch_state::completed, "completed"},
    {batch_state::failed, "failed"},
    {batch_state::expired, "expired"},
    {batch_state::cancelling, "cancelling"},
    {batch_state::cancelled, "cancelled"},
}};
/// Of times: each of a state, and of one that a batch passes at once.
constexpr std::array<std::string_view, 7> time_names{
    "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"};

bool is_id(std::string_view text, std::string_view prefix) {
  return text.starts_with(prefix) && text.size() == prefix.size() + id_digits_of_records &&
         text.substr(prefix.size()).find_first_not_of("0123456789abcdef") == text.npos;
}

std::string one_line(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// Title, a line of JSON, and the digest of both.
std::string sealed(std::string_view title, std::string_view domain, const json& value) {
  std::string text = fmt::format("{}\n{}\n", title, one_line(value));
  return text + to_hex(hash(domain, std::as_bytes(std::span{text}))) + "\n";
}

result<json> unsealed(std::string_view text, std::string_view title, std::string_view domain,
                      std::size_t bytes_max) {
  constexpr std::size_t seal = 2 * digest::size + 1;
  if (text.size() > bytes_max) {
    return fail(errc::over_limit, "the record has {} bytes, more than {}", text.size(), bytes_max);
  }
  const error damaged = fail(errc::malformed, "the record is damaged");
  if (text.size() < title.size() + 2 + seal || !text.starts_with(title) || text.back() != '\n') {
    return damaged;
  }
  const std::string_view body = text.substr(0, text.size() - seal);
  const std::string check = to_hex(hash(domain, std::as_bytes(std::span{body})));
  if (body.back() != '\n' || text.substr(body.size(), seal - 1) != check) {
    return damaged;
  }
  return parse_object(body.substr(title.size() + 1, body.size() - title.size() - 2));
}

json fault_json(const batch_fault& fault) {
  return {{"code", fault.code},
          {"message", fault.message},
          {"param", fault.param.empty() ? json(nullptr) : json(fault.param)},
          {"line", fault.line == 0 ? json(nullptr) : json(fault.line)}};
}

std::vector<batch_fault> faults_from(parameters& in) {
  std::vector<batch_fault> faults;
  const json& list = in.raw("faults");
  if (!list.is_array() || list.size() > limits::batch_faults_max) {
    in.refuse("faults", "must be a short list");
    return faults;
  }
  for (const json& one : list) {
    if (!one.is_object()) {
      in.refuse("faults", "has something that is no fault");
      return faults;
    }
    parameters each{one, "faults[]."};
    faults.push_back({each.text("code", limits::batch_record_bytes_max),
                      each.text("message", limits::batch_record_bytes_max),
                      each.text("param", limits::batch_record_bytes_max, ""),
                      each.whole("line", 0, any_number, 0)});
    each.done();
    if (each.failure()) {
      in.refuse(*each.failure());
    }
  }
  return faults;
}

/// The record, if it is what its text says and no other text says it.
template <class Record>
result<Record> exactly(Record record, const parameters& in, std::string_view text) {
  if (in.failure() || text_of(record) != text) {
    return fail(errc::malformed, "the record is damaged");
  }
  return record;
}

} // namespace

std::string_view name_of(batch_state state) {
  const auto found = std::find_if(state_names.begin(), state_names.end(),
                                  [&](const auto& one) { return one.first == state; });
  return found == state_names.end() ? std::string_view{} : found->second;
}

bool is_over(batch_state state) {
  return state == batch_state::completed || state == batch_state::failed ||
         state == batch_state::expired || state == batch_state::cancelled;
}

bool is_batch_endpoint(std::string_view path) {
  return path == "/v1/chat/completions" || path == "/v1/completions" || path == "/v1/embeddings";
}

bool is_file_id(std::string_view text) { return is_id(text, file_prefix); }
bool is_batch_id(std::string_view text) { return is_id(text, batch_prefix); }

std::string text_of(const stored_file& file) {
  return sealed(file_title, file_domain,
                {{"id", file.id},
                 {"owner", file.owner},
                 {"name", file.name},
                 {"purpose", file.purpose},
                 {"bytes", file.bytes},
                 {"created", file.created},
                 {"expires", file.expires}});
}

result<stored_file> stored_file_from(std::string_view text) {
  OVIR_ASSIGN(const json value,
              unsealed(text, file_title, file_domain, limits::file_record_bytes_max));
  parameters in{value};
  stored_file file;
  file.id = in.text("id", limits::file_record_bytes_max);
  file.owner = in.text("owner", limits::file_record_bytes_max);
  file.name = in.text("name", limits::file_record_bytes_max);
  file.purpose = in.text("purpose", limits::file_record_bytes_max);
  file.bytes = in.whole("bytes", 1, any_number, 0);
  file.created = in.whole("created", 0, any_number, 0);
  file.expires = in.whole("expires", 0, any_number, 0);
  in.done();
  if (!is_file_id(file.id) || (file.purpose != "batch" && file.purpose != "batch_output")) {
    return fail(errc::malformed, "the record is of no file");
  }
  return exactly(std::move(file), in, text);
}

std::string text_of(const batch_record& batch) {
  json faults = json::array();
  for (const batch_fault& fault : batch.faults) {
    faults.push_back({{"code", fault.code},
                      {"message", fault.message},
                      {"param", fault.param},
                      {"line", fault.line}});
  }
  return sealed(batch_title, batch_domain,
                {{"id", batch.id},
                 {"owner", batch.owner},
                 {"endpoint", batch.endpoint},
                 {"input", batch.input},
                 {"output", batch.output},
                 {"errors", batch.errors},
                 {"state", name_of(batch.state)},
                 {"total", batch.counts.total},
                 {"completed", batch.counts.completed},
                 {"failed", batch.counts.failed},
                 {"created", batch.created},
                 {"expires", batch.expires},
                 {"output_life", batch.output_life},
                 {"times", batch.times},
                 {"metadata", batch.metadata},
                 {"faults", std::move(faults)}});
}

result<batch_record> batch_record_from(std::string_view text) {
  constexpr std::size_t any = limits::batch_record_bytes_max;
  OVIR_ASSIGN(const json value, unsealed(text, batch_title, batch_domain, any));
  parameters in{value};
  batch_record batch;
  batch.id = in.text("id", any);
  batch.owner = in.text("owner", any);
  batch.endpoint = in.text("endpoint", any);
  batch.input = in.text("input", any);
  batch.output = in.text("output", any);
  batch.errors = in.text("errors", any);
  const std::string state = in.text("state", any);
  batch.counts = {in.whole("total", 0, limits::batch_lines_max, 0),
                  in.whole("completed", 0, limits::batch_lines_max, 0),
                  in.whole("failed", 0, limits::batch_lines_max, 0)};
  batch.created = in.whole("created", 0, any_number, 0);
  batch.expires = in.whole("expires", 0, any_number, 0);
  batch.output_life = in.whole("output_life", 0, limits::file_life_most, 0);
  for (const auto& [name, time] : in.raw("times").items()) {
    if (!time.is_number_unsigned() ||
        std::find(time_names.begin(), time_names.end(), name) == time_names.end()) {
      in.refuse("times", "has something that is no time");
      break;
    }
    batch.times[name] = time.get<std::uint64_t>();
  }
  const json& metadata = in.raw("metadata");
  if (metadata.size() > limits::api_metadata_max) {
    in.refuse("metadata", "has too many texts");
  }
  for (const auto& [name, said] : metadata.items()) {
    if (!said.is_string()) {
      in.refuse("metadata", "has something that is no text");
      break;
    }
    batch.metadata[name] = said.get<std::string>();
  }
  batch.faults = faults_from(in);
  in.done();
  const auto known = std::find_if(state_names.begin(), state_names.end(),
                                  [&](const auto& one) { return one.second == state; });
  if (known == state_names.end() || !is_batch_id(batch.id) || !is_batch_endpoint(batch.endpoint) ||
      !is_file_id(batch.input) || !is_file_id(batch.output) || !is_file_id(batch.errors)) {
    return fail(errc::malformed, "the record is of no batch");
  }
  batch.state = known->first;
  return exactly(std::move(batch), in, text);
}

json json_of(const stored_file& file) {
  return {{"id", file.id},
          {"object", "file"},
          {"bytes", file.bytes},
          {"created_at", file.created},
          {"expires_at", file.expires},
          {"filename", file.name},
          {"purpose", file.purpose},
          {"status", "processed"}};
}

json json_of(const batch_record& batch) {
  const bool over = is_over(batch.state);
  json out{{"id", batch.id},
           {"object", "batch"},
           {"endpoint", batch.endpoint},
           {"errors", nullptr},
           {"input_file_id", batch.input},
           {"completion_window", "24h"},
           {"status", name_of(batch.state)},
           {"output_file_id", over && batch.counts.completed > 0 ? json(batch.output) : json{}},
           {"error_file_id", over && batch.counts.failed > 0 ? json(batch.errors) : json{}},
           {"created_at", batch.created},
           {"expires_at", batch.expires},
           {"request_counts",
            {{"total", batch.counts.total},
             {"completed", batch.counts.completed},
             {"failed", batch.counts.failed}}},
           {"metadata", batch.metadata.empty() ? json{} : json(batch.metadata)}};
  for (const std::string_view name : time_names) {
    const auto found = batch.times.find(std::string{name});
    out[std::string{name} + "_at"] = found == batch.times.end() ? json{} : json(found->second);
  }
  if (!batch.faults.empty()) {
    json data = json::array();
    for (const batch_fault& fault : batch.faults) {
      data.push_back(fault_json(fault));
    }
    out["errors"] = {{"object", "list"}, {"data", std::move(data)}};
  }
  return out;
}

} // namespace ovir::gateway
