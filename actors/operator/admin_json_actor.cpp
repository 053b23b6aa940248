#include "actors/operator/admin_json_actor.hpp"

#include "actors/operator/attested_json.hpp"
#include "actors/runtime/speed_estimate.hpp"
#include "compute/gguf/join_adapter.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/trace.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

namespace ovir::actors {

namespace {

constexpr std::uint64_t id_max = (std::uint64_t{1} << 53U) - 1;
constexpr std::size_t short_digits_min = 8;
/// A plan is compared with the median of so many requests, the latest.
constexpr std::size_t measured_requests_max = 5;

json range_json(layer_range layers) {
  return {{"first_layer", layers.first}, {"last_layer", layers.last - 1}};
}

json roles_json(role_set roles) {
  json list = json::array();
  for (const role r : {role::worker, role::scheduler, role::store, role::verifier, role::ledger,
                       role::relay, role::reader, role::operate}) {
    if (roles.has(r)) {
      list.push_back(to_string(role_set{}.add(r)));
    }
  }
  return list;
}

std::string_view health_text(member_health health) {
  switch (health) {
  case member_health::alive: return "alive";
  case member_health::suspect: return "suspect";
  case member_health::dead: return "dead";
  case member_health::left: return "left";
  }
  return "dead";
}

json speed_json(std::uint64_t bytes_per_second) {
  return bytes_per_second > 0 ? json(bytes_per_second) : json(nullptr);
}

/// Follows a document without keeping it; false ends the reading.
class form_check final : public nlohmann::json_sax<json> {
public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return begin(); }
  bool key(string_t& name) override { return open_.back().insert(std::move(name)).second; }
  bool end_object() override { return end(); }
  bool start_array(std::size_t) override { return begin(); }
  bool end_array() override { return end(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

private:
  bool begin() {
    open_.emplace_back();
    return ++containers_ <= limits::admin_containers_max && open_.size() <= limits::admin_depth_max;
  }
  bool end() {
    open_.pop_back();
    return true;
  }

  std::vector<std::set<std::string>> open_; ///< the keys so far
  std::size_t containers_{0};
};

double seconds(std::chrono::nanoseconds t) { return std::chrono::duration<double>(t).count(); }

} // namespace

result<admin_command> parse_command(std::string_view text) {
  form_check form;
  if (!json::sax_parse(text, &form)) {
    return fail(errc::malformed,
                "a shell's message must be one JSON object, no key twice, with at most {} objects "
                "and lists, {} deep",
                limits::admin_containers_max, limits::admin_depth_max);
  }
  const json document = json::parse(text, nullptr, false);
  admin_command command;
  if (!document.is_object() || !document.contains("id") || !document["id"].is_number_unsigned() ||
      !document.contains("command") || !document["command"].is_string()) {
    return fail(errc::malformed, "a shell's message must be a JSON object with 'id' and 'command'");
  }
  command.id = document["id"].get<std::uint64_t>();
  if (command.id == 0 || command.id > id_max) {
    return fail(errc::malformed, "the id of a command is 1 to 2^53 - 1");
  }
  command.name = document["command"].get<std::string>();
  command.args = document.value("args", json::object());
  if (!command.args.is_object()) {
    return fail(errc::malformed, "'args' must be an object");
  }
  return command;
}

const json* admin_arguments::find(std::string_view key) {
  known_.emplace_back(key);
  const auto found = args_.find(std::string{key});
  return found == args_.end() || found->is_null() ? nullptr : &*found;
}

bool admin_arguments::has(std::string_view key) const { return args_.contains(std::string{key}); }

result<std::uint64_t> admin_arguments::whole(std::string_view key, std::uint64_t least,
                                             std::uint64_t most,
                                             std::optional<std::uint64_t> otherwise) {
  const json* const value = find(key);
  if (value == nullptr && otherwise) {
    return *otherwise;
  }
  if (value == nullptr || !value->is_number_unsigned() || value->get<std::uint64_t>() < least ||
      value->get<std::uint64_t>() > most) {
    return fail(errc::invalid_argument, "'{}' must be a whole number from {} to {}", key, least,
                most);
  }
  return value->get<std::uint64_t>();
}

result<double> admin_arguments::number(std::string_view key, double otherwise) {
  const json* const value = find(key);
  if (value == nullptr) {
    return otherwise;
  }
  if (!value->is_number()) {
    return fail(errc::invalid_argument, "'{}' must be a number", key);
  }
  return value->get<double>();
}

result<std::string> admin_arguments::text(std::string_view key,
                                          std::optional<std::string> otherwise) {
  const json* const value = find(key);
  if (value == nullptr && otherwise) {
    return *otherwise;
  }
  if (value == nullptr || !value->is_string()) {
    return fail(errc::invalid_argument, "'{}' must be a text", key);
  }
  return value->get<std::string>();
}

result<bool> admin_arguments::boolean(std::string_view key, bool otherwise) {
  const json* const value = find(key);
  if (value == nullptr) {
    return otherwise;
  }
  if (!value->is_boolean()) {
    return fail(errc::invalid_argument, "'{}' must be true or false", key);
  }
  return value->get<bool>();
}

result<std::vector<std::string>> admin_arguments::texts(std::string_view key, std::size_t most) {
  const json* const value = find(key);
  std::vector<std::string> list;
  if (value == nullptr) {
    return list;
  }
  if (!value->is_array() || value->size() > most ||
      !std::all_of(value->begin(), value->end(), [](const json& v) { return v.is_string(); })) {
    return fail(errc::invalid_argument, "'{}' must be a list of at most {} texts", key, most);
  }
  for (const json& item : *value) {
    list.push_back(item.get<std::string>());
  }
  return list;
}

result<std::vector<token_id>> admin_arguments::tokens(std::string_view key) {
  const json* const value = find(key);
  const bool good =
      value != nullptr && value->is_array() && value->size() <= limits::context_max &&
      std::all_of(value->begin(), value->end(), [](const json& v) {
        return v.is_number_unsigned() && v.get<std::uint64_t>() < limits::vocabulary_max;
      });
  if (!good) {
    return fail(errc::invalid_argument, "'{}' must be a list of token ids", key);
  }
  std::vector<token_id> list;
  for (const json& item : *value) {
    list.push_back(item.get<token_id>());
  }
  return list;
}

result<request_id> admin_arguments::request(std::string_view key) {
  OVIR_ASSIGN(const std::string digits, text(key));
  request_id id;
  const auto [end, code] =
      std::from_chars(digits.data(), digits.data() + digits.size(), id.value, 16);
  if (code != std::errc{} || end != digits.data() + digits.size() || digits != request_text(id)) {
    return fail(errc::invalid_argument, "'{}' must be 16 lower-case hexadecimal digits", key);
  }
  return id;
}

result<void> admin_arguments::done() const {
  for (const auto& [key, value] : args_.items()) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
      return fail(errc::invalid_argument, "this command knows no argument '{}'", key.substr(0, 64));
    }
  }
  return {};
}

std::string request_text(request_id request) { return fmt::format("{:016x}", request.value); }

json segments_json(const std::vector<held_segment>& segments) {
  json list = json::array();
  for (const held_segment& s : segments) {
    json segment = range_json(s.layers);
    segment["model"] = to_hex(s.model);
    segment["model_layers"] = s.model_layers;
    list.push_back(std::move(segment));
  }
  return list;
}

json members_json(const std::vector<member>& members, const node_id& self) {
  json list = json::array();
  for (const member& m : members) {
    list.push_back(
        {{"node", to_hex(m.node)},
         {"name", m.advert.name},
         {"address", m.advert.address},
         {"admin_address", m.advert.admin_address},
         {"roles", roles_json(m.advert.roles)},
         {"health", health_text(m.health)},
         {"self", m.node == self},
         {"draining", m.advert.draining},
         {"incarnation", m.incarnation},
         {"rtt_ms", m.rtt ? json(static_cast<double>(m.rtt->count()) / 1e3) : json(nullptr)},
         {"sessions", m.advert.sessions},
         {"ask_ppm", m.advert.ask_ppm},
         {"memory_bytes", m.advert.memory_bytes},
         {"memory_free", m.advert.memory_free},
         {"decode_bytes_per_second", speed_json(m.advert.decode_bytes_per_second)},
         {"prefill_bytes_per_second", speed_json(m.advert.prefill_bytes_per_second)},
         {"held", segments_json(m.advert.held)},
         {"spares", segments_json(m.advert.spares)},
         {"spare_free", m.advert.spare_free},
         {"attested", attested_json(m.advert.attested)}});
  }
  std::stable_sort(list.begin(), list.end(), [](const json& a, const json& b) {
    return a["name"].get<std::string>() < b["name"].get<std::string>();
  });
  return {{"nodes", std::move(list)}};
}

json models_json(const std::vector<member>& members, const model_catalog& catalog) {
  struct seen {
    std::uint32_t layers{0};
    std::set<layer_index> held;
    json holders = json::array();
  };
  std::map<digest, seen> models;
  for (const auto& known : catalog.all()) {
    models[known->id].layers = known->weights.config.layers;
  }
  for (const member& m : members) {
    for (const held_segment& h : m.advert.held) {
      seen& entry = models[h.model];
      entry.layers = std::max(entry.layers, h.model_layers);
      json holder = range_json(h.layers);
      holder["node"] = to_hex(m.node);
      holder["name"] = m.advert.name;
      entry.holders.push_back(std::move(holder));
      if (m.health == member_health::alive) {
        for (layer_index l = h.layers.first; l < h.layers.last; ++l) {
          entry.held.insert(l);
        }
      }
    }
  }
  json list = json::array();
  for (auto& [id, entry] : models) {
    const auto known = catalog.find(id);
    list.push_back({{"model", to_hex(id)},
                    {"name", known ? json(known->name) : json(nullptr)},
                    {"layers", entry.layers},
                    {"complete", entry.layers > 0 && entry.held.size() >= entry.layers},
                    {"holders", std::move(entry.holders)}});
  }
  return {{"models", std::move(list)}};
}

json path_json(const layer_places& path, const std::vector<member>& members) {
  json list = json::array();
  for (const auto& [node, layers] : path) {
    const auto known = std::find_if(members.begin(), members.end(),
                                    [&, node = node](const member& m) { return m.node == node; });
    json stage = range_json(layers);
    stage["node"] = to_hex(node);
    stage["name"] = known == members.end() ? short_name(node) : known->advert.name;
    list.push_back(std::move(stage));
  }
  return list;
}

json job_json(const job_view& job) {
  std::string_view state = job.drawn > 0 ? "decode" : "prefill";
  if (job.state != job_state::running) {
    state = job.state == job_state::done ? "done" : "failed";
  }
  json out{{"request", request_text(job.request)},
           {"state", state},
           {"model", to_hex(job.model)},
           {"prompt_count", job.prompt},
           {"drawn_count", job.drawn},
           {"max_tokens", job.max_tokens},
           {"generation", job.generation},
           {"age_ms", job.age_ms},
           {"path", json::array()}};
  if (job.end) {
    out["finish_reason"] = to_string(*job.end);
  }
  if (job.failure) {
    out["error"] = {{"code", to_string(job.failure->code)}, {"message", job.failure->message}};
  }
  return out;
}

json pace_json(const request_pace& pace, const std::vector<member>& members) {
  const auto ms = [](std::chrono::nanoseconds time) {
    return std::chrono::duration<double, std::milli>(time).count();
  };
  json out{{"token_ms", ms(pace.token)}, {"planned_ms", ms(pace.planned)}};
  if (pace.left && pace.needed) {
    out["left_ms"] = ms(*pace.left);
    out["needed_ms"] = ms(*pace.needed);
  }
  out["stages"] = path_json(pace.path, members);
  for (std::size_t i = 0; i < pace.took.size() && i < out["stages"].size(); ++i) {
    out["stages"][i]["ms"] = ms(pace.took[i]);
  }
  return out;
}

namespace {

/// Of larger ones a reply would not be sent: they are asked for in pages.
constexpr std::size_t receipt_page_bytes = limits::admin_send_bytes_max / 4;

std::string hex_text(std::span<const std::byte> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte b : bytes) {
    text += digits[std::to_integer<unsigned>(b) >> 4U];
    text += digits[std::to_integer<unsigned>(b) & 15U];
  }
  return text;
}

/// {"bytes": hexadecimal}, {"size"} of a larger one, or {"error": why there is none}; null where
/// none was asked for.
json receipt_json(const generation_report& report) {
  if (report.receipt == nullptr) {
    return nullptr;
  }
  if (!*report.receipt) {
    return {{"error", report.receipt->error().message}};
  }
  const std::vector<std::byte>& bytes = **report.receipt;
  if (bytes.size() > receipt_page_bytes) {
    return {{"size", bytes.size()}};
  }
  return {{"bytes", hex_text(bytes)}};
}

} // namespace

json receipt_page(std::span<const std::byte> receipt, std::uint64_t from) {
  const std::size_t first = std::min<std::uint64_t>(from, receipt.size());
  const auto page = receipt.subspan(first, std::min(receipt_page_bytes, receipt.size() - first));
  return {{"size", receipt.size()}, {"from", first}, {"bytes", hex_text(page)}};
}

json trace_json(const job_outcome& outcome, const std::vector<member>& members) {
  const generation_report& report = *outcome.report;
  if (report.trace == nullptr) {
    return nullptr;
  }
  const std::string text =
      chrome_trace(*report.trace, outcome.request.id, {}, names_of_members(members));
  if (text.size() > limits::trace_shown_bytes_max) {
    return {{"error", fmt::format("the trace has {} bytes, shells are sent {} at most; ask for "
                                  "fewer tokens",
                                  text.size(), limits::trace_shown_bytes_max)}};
  }
  return {{"text", text}};
}

trace_names names_of_members(const std::vector<member>& members) {
  trace_names names;
  for (const member& m : members) {
    names[m.node] = m.advert.name;
  }
  return names;
}

json reuse_json(const std::optional<stage_reuse>& stage) {
  if (!stage) {
    return json::object();
  }
  const fetch_told& others = stage->told.others;
  return {{"memory", stage->from.memory},
          {"disk", stage->from.disk},
          {"peer", stage->from.peer},
          {"wanted", stage->told.wanted},
          {"found", stage->told.found},
          {"end", to_string(stage->told.end)},
          {"others",
           {{"choice", to_string(others.choice)},
            {"windows", others.windows},
            {"blocks", others.blocks},
            {"windows_got", others.windows_got},
            {"fetch_us", others.fetch_us},
            {"compute_us", others.compute_us == 0 ? json(nullptr) : json(others.compute_us)},
            {"took_us", others.took_us}}}};
}

namespace {

/// Stages in order, as in `path`; null where nobody asked.
json explained_json(const job_outcome& outcome, json path) {
  if (!outcome.request.cache.explain) {
    return nullptr;
  }
  const auto& explained = outcome.report->explained;
  for (std::size_t i = 0; i < path.size() && i < explained.size(); ++i) {
    path[i].update(reuse_json(explained[i]));
  }
  return path;
}

} // namespace

json outcome_json(const job_outcome& outcome, const std::vector<member>& members) {
  const generation_report& report = *outcome.report;
  const double prefill = seconds(report.prefill_time);
  const double decode = seconds(report.decode_time);
  const auto prompt = static_cast<double>(outcome.request.prompt.size());
  const auto after_first =
      report.tokens.empty() ? 0.0 : static_cast<double>(report.tokens.size() - 1);
  return {{"request", request_text(outcome.request.id)},
          {"text", report.text},
          {"prompt_tokens", outcome.request.prompt},
          {"tokens", report.tokens},
          {"transcript", to_hex(report.transcript)},
          {"receipt", receipt_json(report)},
          {"trace", trace_json(outcome, members)},
          {"finish_reason", to_string(report.end)},
          {"timing",
           {{"prefill_tps", prefill > 0 ? prompt / prefill : 0},
            {"decode_tps", decode > 0 ? after_first / decode : 0},
            {"ttft_ms", seconds(report.time_to_first_token) * 1e3},
            {"total_ms", seconds(outcome.time) * 1e3}}},
          {"units",
           {{"needed", report.units_computed + report.reused.memory + report.reused.disk +
                           report.reused.peer},
            {"computed", report.units_computed},
            {"memory", report.reused.memory},
            {"disk", report.reused.disk},
            {"peer", report.reused.peer}}},
          {"answer_reused", report.answer_reused},
          {"explained", explained_json(outcome, path_json(report.path, members))},
          {"seed", outcome.request.sampling.seed},
          {"model", to_hex(outcome.request.model)},
          {"generation", outcome.request.generation},
          {"recoveries", report.restarts},
          {"speculation", {{"drafted", report.drafted}, {"accepted", report.accepted}}},
          {"path", path_json(report.path, members)}};
}

std::optional<double> measured_speed(const std::vector<job_view>& jobs, const digest& model) {
  std::vector<std::pair<std::uint64_t, double>> recent; // age, speed
  for (const job_view& job : jobs) {
    if (job.model == model && job.decode_tps > 0) {
      recent.emplace_back(job.age_ms, job.decode_tps);
    }
  }
  std::sort(recent.begin(), recent.end());
  recent.resize(std::min(recent.size(), measured_requests_max));
  if (recent.empty()) {
    return std::nullopt;
  }
  const auto by_speed = [](const auto& a, const auto& b) { return a.second < b.second; };
  const auto middle = recent.begin() + static_cast<std::ptrdiff_t>(recent.size() / 2);
  std::nth_element(recent.begin(), middle, recent.end(), by_speed);
  return middle->second;
}

json plan_json(const path_description& what, const digest& model, std::uint32_t context,
               std::optional<double> measured_tps) {
  const plan& planned = *what.planned;
  json stages = json::array();
  for (const planned_stage& s : what.stages) {
    json stage = range_json(s.stage.layers);
    stage["node"] = s.name;
    stage["weight_bytes"] = s.stage.weights;
    stage["kv_bytes"] = s.stage.kv;
    stage["buffer_bytes"] = s.stage.buffers;
    stage["memory_bytes"] = s.stage.memory();
    stage["decode_ms"] = s.stage.decode_seconds * 1e3;
    stages.push_back(std::move(stage));
  }
  json measured;
  if (measured_tps) {
    const auto off = prediction_error(planned.speed.tokens_per_second, *measured_tps);
    measured = {{"decode_tps", *measured_tps}, {"error", off ? json(*off) : json(nullptr)}};
  }
  const auto speed = [](const plan_speed& v) {
    return json{{"token_ms", v.token_seconds * 1e3},
                {"slowest_ms", v.slowest_seconds * 1e3},
                {"decode_tps", v.tokens_per_second},
                {"together_tps", v.tokens_per_second_together},
                {"prefill_tps", v.prefill_per_second}};
  };
  return {{"model", to_hex(model)},
          {"objective", "interactive"},
          {"context", context},
          {"requests", 1},
          {"stages", std::move(stages)},
          {"speed", speed(planned.speed)},
          {"alone", planned.alone ? speed(*planned.alone) : json(nullptr)},
          {"why", planned.why},
          {"measured", std::move(measured)}};
}

result<node_id> find_node(const std::vector<member>& members, const std::string& name) {
  std::vector<node_id> fits;
  std::vector<node_id> called; // a member chooses its name, so a key's digits come first
  for (const member& m : members) {
    if (name.size() >= short_digits_min && to_hex(m.node).starts_with(name)) {
      fits.push_back(m.node);
    } else if (m.advert.name == name) {
      called.push_back(m.node);
    }
  }
  if (fits.empty()) {
    fits = std::move(called);
  }
  if (fits.size() > 1) {
    return fail(errc::invalid_argument, "'{}' fits {} nodes; use more digits of the key", name,
                fits.size());
  }
  if (fits.empty()) {
    return fail(errc::not_found, "there is no node '{}'; 'nodes' lists them", name.substr(0, 64));
  }
  return fits.front();
}

result<model_catalog::entry> find_model(const model_catalog& catalog, const std::string& name) {
  std::vector<model_catalog::entry> fits;
  const auto adapted = compute::adapted_path_from(name); // "base.gguf+adapter"
  const std::string bare = adapted ? compute::adapted_name(*adapted) : name;
  for (const auto& model : catalog.all()) {
    const bool only = name.empty() && !model->weights.lora; // of a base and its adapters the base
    const bool digits = name.size() >= short_digits_min && to_hex(model->id).starts_with(name);
    const bool another_part = !fits.empty() && fits.back()->id == model->id;
    if ((only || model->name == name || model->name == bare || digits) && !another_part) {
      fits.push_back(model);
    }
  }
  if (fits.size() > 1) {
    return fail(errc::invalid_argument, "{} models fit; name one, 'models' lists them",
                fits.size());
  }
  if (fits.empty()) {
    return fail(errc::not_found, "this node knows no model '{}'; 'models' lists them",
                name.substr(0, 64));
  }
  return fits.front();
}

} // namespace ovir::actors
