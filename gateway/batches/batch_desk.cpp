#include "gateway/batches/batch_desk.hpp"

#include "gateway/api/reply_counter.hpp"
#include "gateway/http/multipart.hpp"
#include "gateway/http/parameters.hpp"
#include "messages/limits/batches.hpp"
#include "messages/limits/gateway.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace ovir::gateway {

namespace {

constexpr std::string_view files_path = "/v1/files";
constexpr std::string_view batches_path = "/v1/batches";
constexpr std::string_view content_ending = "/content";
constexpr std::string_view cancel_ending = "/cancel";

/// "ID" of "/v1/files/ID" or of "/v1/files/ID/content"; empty: it is none.
std::string_view id_in(std::string_view path, std::string_view under, std::string_view ending) {
  if (!path.starts_with(under) || path.size() <= under.size() + 1 || path[under.size()] != '/') {
    return {};
  }
  path.remove_prefix(under.size() + 1);
  if (!ending.empty()) {
    if (!path.ends_with(ending)) {
      return {};
    }
    path.remove_suffix(ending.size());
  }
  return path.find('/') == path.npos ? path : std::string_view{};
}

std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
  return wrong == std::errc{} && end == text.data() + text.size() && !text.empty()
             ? std::optional{value}
             : std::nullopt;
}

/// "limit=20&after=ID". Names, numbers and ids need no escapes.
api_result<list_query> list_query_from(std::string_view query, std::uint64_t usual,
                                       std::uint64_t most, bool of_files) {
  list_query out;
  out.most = usual;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    const std::string_view name = pair.substr(0, equals);
    const std::string_view value =
        equals == pair.npos ? std::string_view{} : pair.substr(equals + 1);
    if (name == "limit") {
      const auto number = whole_number(value);
      if (!number || *number == 0 || *number > most) {
        return bad_parameter("limit", fmt::format("'limit' must be from 1 to {}", most));
      }
      out.most = *number;
    } else if (name == "after") {
      out.after = value;
    } else if (of_files && name == "purpose") {
      out.purpose = value;
    } else if (of_files && name == "order" && (value == "asc" || value == "desc")) {
      out.newest_first = value == "desc";
    } else {
      const std::string shown{name.substr(0, limits::api_name_bytes_max)};
      return bad_parameter(
          shown, fmt::format("'{}' of the query is not known, or has no such value", shown));
    }
  }
  return out;
}

const form_part* part_called(const std::vector<form_part>& parts, std::string_view name) {
  const auto found = std::find_if(parts.begin(), parts.end(),
                                  [&](const form_part& part) { return part.name == name; });
  return found == parts.end() ? nullptr : &*found;
}

/// A file's name is shown to people alone.
bool may_be_name(std::string_view name) {
  return !name.empty() && name.size() <= limits::file_name_bytes_max &&
         std::none_of(name.begin(), name.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::optional<api_error> check_form(const std::vector<form_part>& parts) {
  constexpr std::array<std::string_view, 4> known{"file", "purpose", "expires_after[anchor]",
                                                  "expires_after[seconds]"};
  for (const form_part& part : parts) {
    const std::string name = part.name.substr(0, limits::api_name_bytes_max);
    if (std::find(known.begin(), known.end(), part.name) == known.end()) {
      api_error e = bad_parameter(name, fmt::format("there is no parameter '{}'", name));
      e.code = "unknown_parameter";
      return e;
    }
    if (part_called(parts, part.name) != &part) {
      return bad_parameter(name, fmt::format("'{}' is there twice", name));
    }
    if (part.name != "file" && part.bytes.size() > limits::form_text_bytes_max) {
      return bad_parameter(name, fmt::format("'{}' is too long", name));
    }
  }
  return std::nullopt;
}

/// The seconds after which a file goes.
api_result<std::uint64_t> life_in(const std::vector<form_part>& parts) {
  const form_part* const anchor = part_called(parts, "expires_after[anchor]");
  const form_part* const seconds = part_called(parts, "expires_after[seconds]");
  if (anchor == nullptr && seconds == nullptr) {
    return limits::file_life_most;
  }
  if (anchor == nullptr || anchor->bytes != "created_at") {
    return bad_parameter("expires_after[anchor]", "'expires_after[anchor]' must be 'created_at'");
  }
  const auto number = seconds == nullptr ? std::nullopt : whole_number(seconds->bytes);
  if (!number || *number < limits::file_life_least || *number > limits::file_life_most) {
    return bad_parameter("expires_after[seconds]",
                         fmt::format("'expires_after[seconds]' must be from {} to {}",
                                     limits::file_life_least, limits::file_life_most));
  }
  return *number;
}

/// Reads what a batch is to be; its id, owner and times are not set.
api_result<batch_record> batch_order_from(std::string_view body) {
  const auto value = parse_object(body);
  if (!value) {
    return refusal(400, "invalid_json", value.error().message);
  }
  parameters in{*value};
  batch_record batch;
  batch.input = in.text("input_file_id", limits::api_name_bytes_max);
  batch.endpoint = in.text("endpoint", limits::api_name_bytes_max);
  if (in.text("completion_window", limits::api_name_bytes_max) != "24h") {
    in.refuse("completion_window", "must be '24h'");
  }
  if (!is_batch_endpoint(batch.endpoint)) {
    in.refuse("endpoint", "must be '/v1/chat/completions', '/v1/completions' or '/v1/embeddings'");
  }
  const json& metadata = in.raw("metadata");
  if (!metadata.is_null() &&
      (!metadata.is_object() || metadata.size() > limits::api_metadata_max)) {
    in.refuse("metadata", fmt::format("must have at most {} texts", limits::api_metadata_max));
  } else if (!metadata.is_null()) {
    for (const auto& [name, said] : metadata.items()) {
      if (!said.is_string() || name.size() > limits::batch_metadata_name_bytes_max ||
          said.get_ref<const std::string&>().size() > limits::api_metadata_bytes_max) {
        in.refuse("metadata",
                  fmt::format("must have texts of at most {} bytes, by names of at most "
                              "{}",
                              limits::api_metadata_bytes_max,
                              limits::batch_metadata_name_bytes_max));
        break;
      }
      batch.metadata[name] = said.get<std::string>();
    }
  }
  batch.output_life = limits::file_life_most;
  if (const json& life = in.raw("output_expires_after"); life.is_object()) {
    parameters of{life, "output_expires_after."};
    if (of.text("anchor", limits::api_name_bytes_max) != "created_at") {
      of.refuse("anchor", "must be 'created_at'");
    }
    batch.output_life =
        of.whole("seconds", limits::file_life_least, limits::file_life_most, batch.output_life);
    of.done();
    if (of.failure()) {
      in.refuse(*of.failure());
    }
  } else if (!life.is_null()) {
    in.refuse("output_expires_after", "must be an object");
  }
  in.done();
  if (in.failure()) {
    return *in.failure();
  }
  return batch;
}

} // namespace

/// A file that comes.
struct batch_desk::upload {
  http_request request;
  stored_file file;
  std::string_view bytes; ///< in the body
  std::optional<api_error> wrong;

  /// Sets the rest from the body. On the other thread.
  void read() {
    const auto parts = parse_form(request.field("content-type"), request.body);
    if (!parts) {
      wrong = from_error(parts.error());
      return;
    }
    wrong = check_form(*parts);
    const form_part* const purpose = part_called(*parts, "purpose");
    const form_part* const content = part_called(*parts, "file");
    auto life = life_in(*parts);
    if (const auto* const refused = std::get_if<api_error>(&life); refused != nullptr && !wrong) {
      wrong = *refused;
    }
    if (wrong) {
      return;
    }
    if (purpose == nullptr || purpose->bytes != "batch") {
      wrong = purpose == nullptr
                  ? bad_parameter("purpose", "'purpose' is missing; it must be 'batch'")
                  : unsupported_parameter("purpose", "files are for batches alone");
    } else if (content == nullptr || !content->file_name || !may_be_name(*content->file_name)) {
      wrong = bad_parameter("file", "'file' must be a file with a name of printable characters");
    } else if (content->bytes.empty() || content->bytes.size() > limits::file_bytes_max) {
      wrong = bad_parameter("file", fmt::format("'file' has {} bytes; 1 to {} are allowed",
                                                content->bytes.size(), limits::file_bytes_max));
    } else {
      file.name = *content->file_name;
      file.purpose = "batch";
      bytes = content->bytes;
      file.bytes = bytes.size();
      file.expires = file.created + std::get<std::uint64_t>(life);
    }
  }
};

/// A file being told.
struct batch_desk::telling {
  std::shared_ptr<storage::mapped_file> file{};
  std::shared_ptr<http_exchange> exchange;
  std::shared_ptr<void> slot;
  std::shared_ptr<bool> gone{std::make_shared<bool>(false)};
  std::string piece{};
  std::size_t at{0}; ///< bytes told, or about to be

  /// On the other thread: the disk may be waited for.
  void read_piece() {
    const auto rest = file->bytes().subspan(at);
    piece.assign(reinterpret_cast<const char*>(rest.data()),
                 std::min(rest.size(), limits::file_piece_bytes));
    at += piece.size();
  }
  [[nodiscard]] bool all() const { return at == file->bytes().size(); }
};

batch_desk::batch_desk(const api_surroundings& around, api_asker& asker, storage::env& environment,
                       std::string folder, disk_work on_disk, std::uint32_t lines_at_once)
    : around_(around), asker_(asker), folder_(environment, std::move(folder)),
      runs_(around_, asker, shelf_, folder_, std::move(on_disk), lines_at_once) {}

result<void> batch_desk::open() {
  OVIR_ASSIGN(auto found, folder_.open());
  for (const std::string& why : found.damaged) {
    around_.say(std::nullopt, why + "; it is left aside");
  }
  for (const stored_file& file : found.files) {
    shelf_.put_file(file);
  }
  for (batch_record& batch : found.batches) {
    shelf_.put_batch(batch);
    if (!is_over(batch.state)) {
      restored_.push_back(std::move(batch));
    }
  }
  open_ = true;
  return {};
}

std::string_view batch_desk::methods(std::string_view path) const {
  if (path == files_path || path == batches_path) {
    return "GET, POST";
  }
  if (!id_in(path, files_path, {}).empty()) {
    return "GET, DELETE";
  }
  if (!id_in(path, files_path, content_ending).empty() || !id_in(path, batches_path, {}).empty()) {
    return "GET";
  }
  return id_in(path, batches_path, cancel_ending).empty() ? "" : "POST";
}

std::optional<std::size_t> batch_desk::body_bytes_for(const http_request& head) const {
  return head.method == "POST" && head.path == files_path ? limits::upload_bytes_max
                                                          : limits::batch_order_bytes_max;
}

std::optional<api_error> batch_desk::refuse(const http_request& head, bool draining) const {
  if (!open_) {
    return refusal(503, "files_unavailable", "this node cannot read its files; ask another");
  }
  if (head.method != "POST" || (head.path != files_path && head.path != batches_path)) {
    return std::nullopt;
  }
  if (draining) {
    return refusal(503, "draining", "this node is about to stop; ask another");
  }
  const std::string_view type = head.field("content-type");
  if (head.path == files_path && !is_form(type)) {
    return refusal(415, "unsupported_media_type",
                   "the body must be a form, with 'Content-Type: multipart/form-data'");
  }
  if (head.path == batches_path && !is_json(type)) {
    return refusal(415, "unsupported_media_type",
                   "the body must be JSON, with 'Content-Type: application/json'");
  }
  return std::nullopt;
}

void batch_desk::serve(http_request request, const api_key& key, const exchange_pointer& exchange) {
  if (request.path.starts_with(files_path)) {
    return serve_files(std::move(request), key, exchange);
  }
  serve_batches(std::move(request), key, exchange);
}

void batch_desk::refuse_with(const exchange_pointer& exchange, const api_error& why) {
  reply_counter form;
  exchange->reply(asker_.counted(form.answer_of(why)));
}

void batch_desk::tell(const exchange_pointer& exchange, const json& value) {
  exchange->reply(asker_.counted(document(value)));
}

std::string batch_desk::fresh_id(std::string_view prefix) const {
  return fmt::format("{}{:016x}{:016x}", prefix, around_.random(), around_.random());
}

// Files

void batch_desk::serve_files(http_request request, const api_key& key,
                             const exchange_pointer& exchange) {
  if (request.path == files_path) {
    if (request.method == "POST") {
      return take_upload(std::move(request), key, exchange);
    }
    const auto query =
        list_query_from(request.query, limits::file_list_max, limits::file_list_max, true);
    const auto list = std::holds_alternative<api_error>(query)
                          ? api_result<json>{std::get<api_error>(query)}
                          : shelf_.list_files(key.id, std::get<list_query>(query));
    const auto* const refused = std::get_if<api_error>(&list);
    return refused != nullptr ? refuse_with(exchange, *refused)
                              : tell(exchange, std::get<json>(list));
  }
  const std::string_view content = id_in(request.path, files_path, content_ending);
  const std::string id{content.empty() ? id_in(request.path, files_path, {}) : content};
  const stored_file* const file = shelf_.find_file(key.id, id);
  if (file == nullptr) {
    return refuse_with(exchange, refusal(404, "unknown_file",
                                         "this node has no such file of "
                                         "this key"));
  }
  if (!content.empty()) {
    return tell_bytes(id, exchange);
  }
  if (request.method == "DELETE") {
    return delete_file(*file, exchange);
  }
  tell(exchange, json_of(*file));
}

void batch_desk::take_upload(http_request request, const api_key& key,
                             const exchange_pointer& exchange) {
  const auto up = std::make_shared<upload>();
  up->request = std::move(request);
  up->file.id = fresh_id("file-");
  up->file.owner = key.id;
  up->file.created = around_.unix_seconds();
  around_.elsewhere([up] { up->read(); }, [this, up, exchange] { keep_upload(up, exchange); });
}

void batch_desk::keep_upload(const std::shared_ptr<upload>& up, const exchange_pointer& exchange) {
  const auto wrong = up->wrong ? up->wrong : shelf_.begin_file(up->file);
  if (wrong) {
    return refuse_with(exchange, *wrong);
  }
  const auto kept = std::make_shared<result<void>>();
  around_.elsewhere([this, up, kept] { *kept = folder_.keep(up->file, up->bytes); },
                    [this, up, kept, exchange] {
                      if (!*kept) {
                        shelf_.drop_file(up->file.id);
                        return refuse_with(exchange, from_error(kept->error()));
                      }
                      shelf_.settle_file(up->file.id);
                      tell(exchange, json_of(up->file));
                    });
}

void batch_desk::delete_file(const stored_file& file, const exchange_pointer& exchange) {
  if (shelf_.in_use(file.id)) {
    return refuse_with(exchange, refusal(409, "file_in_use",
                                         "a batch that is not over reads this file; cancel it "
                                         "first"));
  }
  const auto gone = std::make_shared<result<void>>();
  const stored_file copy = file;
  shelf_.drop_file(copy.id);
  around_.elsewhere([this, copy, gone] { *gone = folder_.drop_file(copy.id); },
                    [this, copy, gone, exchange] {
                      if (!*gone) {
                        shelf_.put_file(copy);
                        return refuse_with(exchange, from_error(gone->error()));
                      }
                      tell(exchange, {{"id", copy.id}, {"object", "file"}, {"deleted", true}});
                    });
}

void batch_desk::tell_bytes(const std::string& id, const exchange_pointer& exchange) {
  if (tellings_->load() >= limits::files_told_at_once) {
    return refuse_with(exchange,
                       refusal(503, "overloaded", "as many files are being told as there may be"));
  }
  tellings_->fetch_add(1);
  const auto what = std::make_shared<telling>();
  what->slot = {nullptr, [all = tellings_](void*) { all->fetch_sub(1); }};
  what->exchange = exchange;
  exchange->when_gone([gone = what->gone] { *gone = true; });
  const auto opened = std::make_shared<result<void>>();
  around_.elsewhere(
      [this, what, opened, id] {
        *opened = [&]() -> result<void> {
          OVIR_ASSIGN(what->file, folder_.bytes_of(id));
          what->read_piece();
          return {};
        }();
      },
      [this, what, opened] {
        if (!*opened) {
          return refuse_with(what->exchange, from_error(opened->error()));
        }
        http_reply head;
        head.content_type = "application/octet-stream";
        if (what->all()) {
          head.body = std::move(what->piece);
          return what->exchange->reply(asker_.counted(std::move(head)));
        }
        what->exchange->begin_stream(asker_.counted(std::move(head)));
        tell_piece(what);
      });
}

/// Of a large file one piece is in memory, whatever its client reads.
void batch_desk::tell_piece(const std::shared_ptr<telling>& what) {
  if (*what->gone) {
    return;
  }
  what->exchange->send(std::move(what->piece));
  if (what->all()) {
    what->exchange->when_gone(nullptr);
    return what->exchange->end_stream();
  }
  what->exchange->when_room([this, what] {
    around_.elsewhere([what] { what->read_piece(); }, [this, what] { tell_piece(what); });
  });
}

// Batches

void batch_desk::serve_batches(http_request request, const api_key& key,
                               const exchange_pointer& exchange) {
  if (request.path == batches_path) {
    if (request.method == "POST") {
      return make_batch(request, key, exchange);
    }
    const auto query =
        list_query_from(request.query, limits::batch_list_usual, limits::batch_list_max, false);
    const auto list = std::holds_alternative<api_error>(query)
                          ? api_result<json>{std::get<api_error>(query)}
                          : shelf_.list_batches(key.id, std::get<list_query>(query));
    const auto* const refused = std::get_if<api_error>(&list);
    return refused != nullptr ? refuse_with(exchange, *refused)
                              : tell(exchange, std::get<json>(list));
  }
  const std::string_view cancelled = id_in(request.path, batches_path, cancel_ending);
  const std::string id{cancelled.empty() ? id_in(request.path, batches_path, {}) : cancelled};
  const batch_record* const batch = shelf_.find_batch(key.id, id);
  if (batch == nullptr) {
    return refuse_with(exchange, refusal(404, "unknown_batch",
                                         "this node has no such batch of "
                                         "this key"));
  }
  if (cancelled.empty()) {
    return tell(exchange, json_of(*batch));
  }
  if (is_over(batch->state)) {
    return refuse_with(exchange, refusal(409, "batch_over", "this batch is over"));
  }
  runs_.cancel(id, [this, exchange](const result<batch_record>& kept) {
    kept ? tell(exchange, json_of(*kept)) : refuse_with(exchange, from_error(kept.error()));
  });
}

void batch_desk::make_batch(const http_request& request, const api_key& key,
                            const exchange_pointer& exchange) {
  auto order = batch_order_from(request.body);
  if (const auto* const refused = std::get_if<api_error>(&order)) {
    return refuse_with(exchange, *refused);
  }
  auto& batch = std::get<batch_record>(order);
  const stored_file* const input = shelf_.find_file(key.id, batch.input);
  if (input == nullptr || input->purpose != "batch") {
    api_error e = refusal(404, "unknown_file",
                          "'input_file_id' is no file of this key with the purpose 'batch'");
    e.param = "input_file_id";
    return refuse_with(exchange, e);
  }
  batch.id = fresh_id("batch_");
  batch.owner = key.id;
  batch.output = fresh_id("file-");
  batch.errors = fresh_id("file-");
  batch.created = around_.unix_seconds();
  batch.expires = batch.created + limits::batch_window;
  if (const auto wrong = shelf_.begin_batch(batch)) {
    return refuse_with(exchange, *wrong);
  }
  const auto kept = std::make_shared<result<void>>();
  around_.elsewhere([this, kept, batch] { *kept = folder_.keep(batch); },
                    [this, kept, batch, exchange] {
                      if (!*kept) {
                        shelf_.drop_batch(batch.id);
                        return refuse_with(exchange, from_error(kept->error()));
                      }
                      shelf_.settle_batch(batch.id);
                      tell(exchange, json_of(batch));
                      drop_surplus(batch.owner);
                      runs_.take(batch, false);
                    });
}

void batch_desk::drop_surplus(const std::string& owner) {
  for (const std::string& id : shelf_.surplus_batches(owner)) {
    shelf_.drop_batch(id);
    around_.elsewhere([this, id] { static_cast<void>(folder_.drop_batch(id)); }, [] {});
  }
}

void batch_desk::drop_expired() {
  for (const std::string& id : shelf_.expired_files(around_.unix_seconds())) {
    shelf_.drop_file(id);
    around_.elsewhere([this, id] { static_cast<void>(folder_.drop_file(id)); }, [] {});
  }
  for (const std::string& id : shelf_.expired_batches(around_.unix_seconds())) {
    shelf_.drop_batch(id);
    around_.elsewhere([this, id] { static_cast<void>(folder_.drop_batch(id)); }, [] {});
  }
}

void batch_desk::tick() {
  for (const batch_record& batch : std::exchange(restored_, {})) {
    runs_.take(batch, true);
  }
  if (shelf_.empty()) {
    return;
  }
  if (around_.now() >= next_look_) {
    next_look_ = around_.now() + limits::file_look_pause;
    drop_expired();
  }
  runs_.tick();
}

void batch_desk::measure(metric_families& to) const {
  const auto number = [](std::uint64_t n) { return static_cast<double>(n); };
  metric_list out{to};
  out.gauge("ovir_gateway_batches_open", "Batches that are not over",
            number(shelf_.open_batches()));
  out.counters(
      "ovir_gateway_batch_lines_total", "Lines of batches by what came of them", "end",
      {{"completed", number(runs_.lines_completed())}, {"failed", number(runs_.lines_failed())}});
  out.gauge("ovir_gateway_files", "Files of clients", number(shelf_.files()));
  out.gauge("ovir_gateway_files_bytes", "Bytes of these", number(shelf_.bytes()));
}

} // namespace ovir::gateway
