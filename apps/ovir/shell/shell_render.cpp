#include "apps/ovir/shell/shell_render.hpp"

#include "apps/ovir/shell/explain_cache.hpp"
#include "apps/ovir/shell/placement_text.hpp"
#include "apps/ovir/shell/why_text.hpp"
#include "compute/base/printable.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

namespace ovir::apps {

namespace {

constexpr std::size_t cell_bytes_max = 60;
constexpr std::size_t tree_depth_max = 16;
constexpr std::string_view dash = "-";

const json& at(const json& object, std::string_view key) {
  static const json nothing;
  if (!object.is_object()) {
    return nothing;
  }
  const auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

const json& list_at(const json& object, std::string_view key) {
  static const json empty = json::array();
  const json& value = at(object, key);
  return value.is_array() ? value : empty;
}

std::string text(const json& object, std::string_view key) {
  const json& value = at(object, key);
  if (value.is_string()) {
    return compute::printable(value.get_ref<const std::string&>(), cell_bytes_max);
  }
  if (value.is_boolean()) {
    return value.get<bool>() ? "yes" : "no";
  }
  return value.is_number() ? value.dump() : std::string{dash};
}

std::optional<double> number(const json& object, std::string_view key) {
  const json& value = at(object, key);
  return value.is_number() ? std::optional{value.get<double>()} : std::nullopt;
}

std::string fixed(const json& object, std::string_view key, int digits = 1) {
  const auto value = number(object, key);
  return value ? fmt::format("{:.{}f}", *value, digits) : std::string{dash};
}

std::string size(const json& object, std::string_view key) {
  const json& value = at(object, key);
  return value.is_number_unsigned() ? bytes_text(value.get<std::uint64_t>()) : std::string{dash};
}

/// The first 8 digits of a key or digest.
std::string short_hex(const json& object, std::string_view key) {
  return text(object, key).substr(0, 8);
}

std::string layers(const json& range) {
  return fmt::format("{}-{}", text(range, "first_layer"), text(range, "last_layer"));
}

template <class Part>
std::string joined(const json& list, std::string_view between, Part part) {
  std::string all;
  for (const json& one : list) {
    all += (all.empty() ? "" : std::string{between}) + part(one);
  }
  return all.empty() ? std::string{dash} : all;
}

std::string path(const json& job) {
  return joined(list_at(job, "path"), " > ",
                [](const json& stage) { return text(stage, "name") + " " + layers(stage); });
}

std::string nodes_text(const json& data) {
  text_table table{{"NODE", "NAME", "HEALTH", "ROLES", "ADDRESS", ">RTT ms", ">SESSIONS", ">MEMORY",
                    ">FREE", "HOLDS"}};
  for (const json& node : list_at(data, "nodes")) {
    std::string health = text(node, "health");
    health += at(node, "draining") == true ? ", draining" : "";
    const std::string roles = joined(list_at(node, "roles"), ",", [](const json& role) {
      return role.is_string() ? compute::printable(role.get_ref<const std::string&>())
                              : std::string{dash};
    });
    const std::string held = joined(list_at(node, "held"), ", ", [](const json& segment) {
      return short_hex(segment, "model") + " " + layers(segment);
    });
    health += at(node, "relayed") == true ? ", by relay" : "";
    health += at(node, "newcomer") == true ? ", newcomer" : "";
    table.add({short_hex(node, "node") + (at(node, "self") == true ? " *" : ""), text(node, "name"),
               health, roles, text(node, "address"), fixed(node, "rtt_ms", 2),
               text(node, "sessions"), size(node, "memory_bytes"), size(node, "memory_free"),
               held});
  }
  const json& reach = at(data, "reach");
  if (!reach.is_object() || text(reach, "verdict").empty()) {
    return table.text();
  }
  const std::string router = text(reach, "router");
  return table.text() + "from outside: " + text(reach, "verdict") +
         (router.empty() || router == dash ? std::string{} : "; " + router) + "\n";
}

std::string models_text(const json& data) {
  text_table table{{"MODEL", "NAME", ">LAYERS", "COMPLETE", "HOLDERS"}};
  for (const json& model : list_at(data, "models")) {
    const std::string holders = joined(list_at(model, "holders"), ", ", [](const json& holder) {
      return text(holder, "name") + " " + layers(holder);
    });
    table.add({short_hex(model, "model"), text(model, "name"), text(model, "layers"),
               text(model, "complete"), holders});
  }
  return table.text();
}

std::string peers_text(const json& peers) {
  if (!peers.is_object()) {
    return "others     nothing is fetched from them or served to them\n";
  }
  std::string out = fmt::format(
      "others     {} blocks, {}, in {} fetches; computing was faster {} times; wrong predictions "
      "{} "
      "and {}\n           stale claims {}, wrong blocks {}, silent {}; told {} in {} messages\n",
      text(peers, "blocks"), size(peers, "bytes"), text(peers, "fetches"), text(peers, "declined"),
      text(peers, "wrong_fetch"), text(peers, "wrong_compute"), text(peers, "stale"),
      text(peers, "wrong_blocks"), text(peers, "stalled"), size(peers, "claims_bytes"),
      text(peers, "claims_sent"));
  text_table members{{"NODE", ">CLAIMS", ">RATE", ">BLOCKS", ">STALE", "FAULT"}};
  for (const json& member : list_at(peers, "members")) {
    members.add({short_hex(member, "node"), text(member, "names"), size(member, "bytes_per_second"),
                 text(member, "blocks"), text(member, "stale"), text(member, "fault")});
  }
  text_table why{{"MODEL", ">WINDOWS", ">BLOCKS", ">FETCH us", ">COMPUTE us", "FETCHED", ">GOT",
                  ">TOOK us", "WRONG"}};
  for (const json& d : list_at(peers, "decisions")) {
    why.add({short_hex(d, "model"), text(d, "windows"), text(d, "blocks"), text(d, "fetch_us"),
             text(d, "compute_us"), text(d, "fetched"), text(d, "windows_got"), text(d, "took_us"),
             text(d, "wrong")});
  }
  return out + members.text() + why.text();
}

std::string cache_text(const json& data) {
  if (at(data, "enabled") != true) {
    return "nothing is kept: the node's configuration switches it off\n";
  }
  const json& units = at(data, "units");
  const auto saved = number(data, "saved_us");
  return fmt::format("in memory  {} in {} entries, {} evicted; {} not on the disk yet\n"
                     "avoided    {} units from memory, {} from disk, {} from others; {} whole "
                     "answers\nsaved      {:.1f} s\nkept       {}, not kept {}, missed {}, damaged "
                     "{}; served {} to others\nquarantine {} entries taken away by convictions, {} "
                     "not kept behind them\nchecked    {} of others' computed again, {} wrong\n"
                     "waited     {} for others' prefixes, gave up {}\n",
                     size(data, "memory_bytes"), text(data, "memory_entries"),
                     text(data, "memory_evicted"), text(data, "unwritten"), text(units, "memory"),
                     text(units, "disk"), text(units, "peer"), text(data, "answers"),
                     saved ? *saved / 1e6 : 0.0, text(data, "kept"), text(data, "not_kept"),
                     text(data, "missed"), text(data, "damaged"), text(data, "served"),
                     text(data, "quarantined"), text(data, "tainted"), text(data, "rechecked"),
                     text(data, "refuted"), text(data, "waited"), text(data, "gave_up")) +
         peers_text(at(data, "peers"));
}

std::string fetches_text(const json& data) {
  text_table table{{"MODEL", "LAYERS", "STATE", ">SIZE", ">HERE BEFORE", ">FROM FILES", ">FETCHED",
                    "SOURCES", "REASON"}};
  for (const json& fetch : list_at(data, "fetches")) {
    const std::string sources = joined(list_at(fetch, "sources"), ", ", [](const json& source) {
      return short_hex(source, "node") + " " + size(source, "bytes") +
             (at(source, "fault").is_string() ? " (" + text(source, "fault") + ")" : "");
    });
    table.add({short_hex(fetch, "model"), layers(fetch), text(fetch, "state"), size(fetch, "bytes"),
               size(fetch, "present_bytes"), size(fetch, "local_bytes"),
               size(fetch, "verified_bytes"), sources, text(fetch, "reason")});
  }
  return table.text() + fmt::format("served {} in {} pieces to {} now; refused {}\n",
                                    size(data, "served_bytes"), text(data, "served_pieces"),
                                    text(data, "askers"), text(data, "refused"));
}

std::string invitations_text(const json& data) {
  text_table table{{"INVITATION", "ROLES", ">USED", ">OF", "EXPIRES", "REVOKED"}};
  for (const json& one : list_at(data, "invitations")) {
    table.add({short_hex(one, "invitation"), text(one, "roles"), text(one, "used"),
               text(one, "uses"), text(one, "expires_unix"), text(one, "revoked")});
  }
  return table.text();
}

std::string tree_text(const json& child, std::size_t depth) {
  std::string line(2 * depth, ' ');
  line += text(child, "name");
  if (at(child, "strategy").is_string()) {
    line += "  " + text(child, "strategy");
  }
  line += "  " + text(child, "restart");
  if (const auto restarts = number(child, "restarts"); restarts && *restarts > 0) {
    line += fmt::format("  restarts {}", *restarts);
  }
  line += at(child, "up") == false ? "  down\n" : "\n";
  if (depth < tree_depth_max) {
    for (const json& one : list_at(child, "children")) {
      line += tree_text(one, depth + 1);
    }
  }
  return line;
}

std::string jobs_text(const json& list) {
  text_table table{{"REQUEST", "STATE", "MODEL", ">PROMPT", ">TOKENS", ">AGE s", ">EPOCH",
                    ">RECOVERIES", "PATH"}};
  for (const json& job : list) {
    const auto age = number(job, "age_ms");
    table.add({text(job, "request"), text(job, "state"), short_hex(job, "model"),
               text(job, "prompt_count"),
               fmt::format("{}/{}", text(job, "drawn_count"), text(job, "max_tokens")),
               age ? fmt::format("{:.1f}", *age / 1e3) : std::string{dash}, text(job, "epoch"),
               text(job, "recoveries"), path(job)});
  }
  return table.text();
}

std::string job_text(const json& data) {
  const json& job = at(data, "job");
  std::string out = jobs_text(json::array({job}));
  const json& pace = at(job, "pace");
  const bool seen = pace.is_object();
  text_table table{{"NODE", "NAME", "LAYERS", ">MS PER TOKEN"}};
  for (const json& stage : list_at(seen ? pace : job, seen ? "stages" : "path")) {
    table.add({short_hex(stage, "node"), text(stage, "name"), layers(stage), fixed(stage, "ms")});
  }
  return out + table.text();
}

std::string plan_text(const json& data) {
  text_table table{{"NODE", "LAYERS", ">WEIGHTS", ">KV", ">BUFFERS", ">MEMORY", ">OF", ">MS"}};
  for (const json& stage : list_at(data, "stages")) {
    table.add({text(stage, "node"), layers(stage), size(stage, "weight_bytes"),
               size(stage, "kv_bytes"), size(stage, "buffer_bytes"), size(stage, "memory_bytes"),
               size(stage, "memory_limit_bytes"), fixed(stage, "decode_ms", 2)});
  }
  const json& speed = at(data, "speed");
  std::string out = table.text();
  out += fmt::format("decode  {} tokens/s, {} ms per token; prefill {} tokens/s\n",
                     fixed(speed, "decode_tps"), fixed(speed, "token_ms", 2),
                     fixed(speed, "prefill_tps"));
  const json& measured = at(data, "measured");
  if (measured.is_object()) {
    out += fmt::format("measured {} tokens/s, error {}\n", fixed(measured, "decode_tps"),
                       fixed(measured, "error", 3));
  }
  const json& why = at(data, "why");
  return out + (why.is_string() ? compute::printable(why.get_ref<const std::string&>(), 400) + "\n"
                                : std::string{});
}

std::string top_text(const json& data) {
  text_table table{{"NODE", "NAME", "HEALTH", ">TOKENS/s", ">SLACK ms", ">QUEUE", ">SESSIONS",
                    ">MEMORY", ">USED"}};
  for (const json& node : list_at(data, "nodes")) {
    table.add({short_hex(node, "node"), text(node, "name"), text(node, "health"),
               fixed(node, "tokens_per_second"), fixed(node, "slack_ms"), text(node, "queue"),
               text(node, "sessions"), size(node, "memory_bytes"), size(node, "memory_used")});
  }
  const json& jobs = list_at(data, "jobs");
  return table.text() + (jobs.empty() ? std::string{} : jobs_text(jobs));
}

std::string answer_text(const json& data) {
  if (!data.contains("finish_reason")) {
    return fmt::format("request    {}\n", text(data, "request"));
  }
  const json& timing = at(data, "timing");
  std::string out = fmt::format(
      "\nprefill    {} tokens/s\ndecode     {} tokens/s ({} tokens, ended "
      "by {})\nfirst token after {} ms\n",
      fixed(timing, "prefill_tps"), fixed(timing, "decode_tps"), list_at(data, "tokens").size(),
      text(data, "finish_reason"), fixed(timing, "ttft_ms"));
  out += fmt::format("path       {}\nrecoveries {}\nrequest    {}\n", path(data),
                     text(data, "recoveries"), text(data, "request"));
  if (data.value("answer_reused", json(false)) == true) {
    out += "cache      the whole answer was kept from an earlier time\n";
  } else {
    out += explained_text(at(data, "explained"));
  }
  const json& transcript = at(data, "transcript");
  return out + fmt::format("transcript {}\n",
                           transcript.is_string()
                               ? compute::printable(transcript.get_ref<const std::string&>())
                               : std::string{dash});
}

/// Data without a form of its own: a line for each value.
std::string values_text(const json& data) {
  std::string out;
  std::size_t widest = 0;
  for (const auto& [key, value] : data.items()) {
    widest = std::max(widest, key.size());
  }
  for (const auto& [key, value] : data.items()) {
    const bool plain = value.is_string();
    out += fmt::format(
        "{:<{}}  {}\n", compute::printable(key), widest,
        compute::printable(plain ? value.get_ref<const std::string&>() : to_text(value), 200));
  }
  return out;
}

std::string credits(const json& object, std::string_view key) {
  const json& value = at(object, key);
  if (!value.is_number_unsigned()) {
    return std::string{dash};
  }
  const auto amount = value.get<std::uint64_t>();
  return fmt::format("{}.{:06}", amount / 1'000'000, amount % 1'000'000);
}

/// "free of 1a2b3c4d", "assurance".
std::string purse(const json& account) {
  const json& of = at(account, "of");
  return text(account, "purse") + (of.is_string() ? " of " + short_hex(account, "of") : "");
}

/// Which keeper leads, or, as one who uses the ledger knows, is asked; and how far each is.
std::string keepers_text(const json& data) {
  text_table table{{"KEEPER", ">SIGNED", "IS"}};
  for (const json& one : list_at(data, "keepers")) {
    const json& key = at(one, "keeper");
    table.add({short_hex(one, "keeper"), text(one, "signed"),
               key == at(data, "leader")                          ? "leader"
               : data.contains("asks") && key == at(data, "asks") ? "asked"
                                                                  : ""});
  }
  return table.text();
}

/// A statement or a part of the log as a table; everything else a line for each value.
std::string ledger_text(const json& data) {
  if (data.contains("entries")) {
    text_table entries{{">ENTRY", "TIME", "KIND", "SIGNER", "LEAF"}};
    for (const json& e : list_at(data, "entries")) {
      entries.add({text(e, "entry"), text(e, "time"), text(e, "kind"), short_hex(e, "signer"),
                   short_hex(e, "leaf")});
    }
    return entries.text();
  }
  if (data.contains("keepers")) {
    return keepers_text(data);
  }
  if (!data.contains("lines")) {
    return values_text(data);
  }
  text_table table{{">ENTRY", "TIME", "PURSE", ">CHANGE", "REQUEST", "WINDOW", "WITH", "WHY"}};
  for (const json& line : list_at(data, "lines")) {
    const bool out = text(line, "direction") == "out";
    table.add({text(line, "entry"), text(line, "time"),
               text(at(line, out ? "from" : "to"), "purse"),
               (out ? "-" : "+") + credits(line, "amount"), short_hex(line, "request"),
               text(line, "window"), purse(at(line, out ? "to" : "from")), text(line, "reason")});
  }
  if (at(data, "more") != true || !at(data, "account").is_string()) {
    return table.text();
  }
  constexpr std::size_t key_digits = 64;
  const bool goes_on = at(data, "next").is_string();
  return table.text() +
         fmt::format(
             "{}: ledger statement {} {}\n",
             goes_on ? "it goes on" : "there are earlier ones, from",
             compute::printable(at(data, "account").get_ref<const std::string&>(), key_digits),
             goes_on ? text(data, "next") : "0");
}

std::size_t characters(const std::string& utf8) {
  return static_cast<std::size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
  }));
}

} // namespace

text_table::text_table(std::vector<std::string> titles) {
  for (std::string& title : titles) {
    right_.push_back(title.starts_with('>'));
    if (right_.back()) {
      title.erase(0, 1);
    }
  }
  rows_.push_back(std::move(titles));
}

void text_table::add(std::vector<std::string> cells) {
  cells.resize(right_.size());
  rows_.push_back(std::move(cells));
}

std::string text_table::text() const {
  std::vector<std::size_t> widths(right_.size());
  for (const auto& row : rows_) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      widths[c] = std::max(widths[c], characters(row[c]));
    }
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string gap(widths[c] - characters(row[c]), ' ');
      line += (c == 0 ? "" : "  ") + (right_[c] ? gap + row[c] : row[c] + gap);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

namespace {

std::string share(const json& object, std::string_view key) {
  const auto value = number(object, key);
  return value ? fmt::format("{:.0f} %", 100 * *value) : std::string{dash};
}

std::string reputation_text(const json& data) {
  text_table table{{"node", ">steps", ">in time", ">there", ">speed of its word", ">audits",
                    ">counts for", ">in a hurry"}};
  for (const json& node : list_at(data, "nodes")) {
    table.add({text(node, "name"), text(node, "steps"), share(node, "punctuality"),
               share(node, "availability"), share(node, "throughput"),
               fixed(node, "correctness", 2), fixed(node, "weight", 2),
               fixed(node, "weight_hurried", 2)});
  }
  return list_at(data, "nodes").empty() ? "no node was on a path of this scheduler yet\n"
                                        : table.text();
}

} // namespace

std::string render(std::string_view command, const json& data) {
  using form = std::function<std::string(const json&)>;
  static const std::map<std::string_view, form> forms{
      {"nodes", nodes_text},
      {"models", models_text},
      {"cache", cache_text},
      {"fetches", fetches_text},
      {"invitations", invitations_text},
      {"placement", placement_text},
      {"reputation", reputation_text},
      {"tree", [](const json& d) { return tree_text(at(d, "tree"), 0); }},
      {"jobs", [](const json& d) { return jobs_text(list_at(d, "jobs")); }},
      {"job", job_text},
      {"why", why_text},
      {"plan", plan_text},
      {"top", top_text},
      {"run", answer_text},
      {"attach", answer_text},
      {"ledger", ledger_text},
      {"account", ledger_text},
  };
  const auto found = forms.find(command);
  return found == forms.end() ? values_text(data) : found->second(data);
}

std::string for_terminal(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  constexpr std::string_view replacement = "\xef\xbf\xbd";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto after = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if ((byte < 0x20 && text[i] != '\n' && text[i] != '\t') || byte == 0x7f) {
      out += replacement;
    } else if (byte == 0xc2 && after >= 0x80 && after < 0xa0) { // U+0080 to U+009F
      out += replacement;
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

} // namespace ovir::apps
