#include "apps/ovir/shell/shell_command.hpp"

#include "messages/limits/general.hpp"
#include "messages/request/params.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

namespace ovir::apps {

namespace {

using kind = value_kind;

command_spec chaos_command(const argument_spec& node) {
  return {"chaos",
          "Do a node harm, where its configuration allows it",
          {{"ACTION", "action", kind::text, true, "kill, stop, delay or crash"},
           node,
           {"--ms", "ms", kind::natural, false, "Milliseconds to stop for or to delay by"},
           {"--actor", "actor", kind::text, false, "Which actor to crash, as `tree` names it"}},
          false};
}

command_spec ledger_command() {
  return {"ledger",
          "This node's account in the ledger, and what the ledger's keeper says",
          {{"ACTION", "action", kind::text, true,
            "balance, head, keepers, statement, log, policy, prove, verify; mint, transfer, stake, "
            "unstake, convict"},
           {"SUBJECT", "subject", kind::text, false,
            "An account; of log the first entry; of prove the entry, or 'since'; of stake and "
            "unstake the amount; of convict the evidence, in hexadecimal"},
           {"AMOUNT", "amount", kind::text, false,
            "Micro-credits; of statement the first entry (default: the newest); of prove since the "
            "file of a head"},
           {"--output", "output", kind::text, false,
            "Write the proof, or the head, to this file, for ovir-verify"}},
          false};
}

std::vector<argument_spec> with_sampling(std::vector<argument_spec> arguments) {
  for_each_parameter([&]<class Number>(const sampling_row<Number>& row) {
    arguments.push_back({row.option, row.name,
                         std::is_integral_v<Number> ? kind::natural : kind::real, false, row.help});
  });
  arguments.push_back({"--logit-bias", "logit_bias", kind::texts, false,
                       "TOKEN=BIAS, added to the token's logit; may be given several times"});
  return arguments;
}

command_spec run_command(const argument_spec& of_model) {
  return {
      "run", "Continue a prompt",
      with_sampling(
          {{"PROMPT", "prompt", kind::rest, false, "The text; put it in quotes to keep its spaces"},
           {"--ids", "tokens", kind::numbers, false, "The prompt as token ids: 1,259,72"},
           {"--max-tokens", "max_tokens", kind::natural, false, "Tokens to produce at most", "-n"},
           of_model,
           {"--adapter", "adapter", kind::text, false, "The model with this adapter, by its name"},
           {"--seed", "seed", kind::natural, false, "Seed of the draw (default: a new one)"},
           {"--stop", "stop", kind::texts, false,
            "End before this text; may be given several times"},
           {"--speculate", "speculate", kind::text, false,
            "Compute guessed tokens: auto, on or off"},
           {"--request", "request", kind::hex, false, "Its id (default: a new one)"},
           {"--receipt", "receipt", kind::text, false,
            "Write what every stage signed to this file"},
           {"--reveal", "reveal", kind::text, false,
            "after: a token is told once it was computed twice, over nodes that have none in "
            "common "
            "(default: at_once)"},
           {"--privacy", "privacy", kind::text, false,
            "ends: tokens and logits stay on the scheduler's node and those that it names "
            "(default: none)"},
           {"--tier", "tier", kind::text, false,
            "attestor=KEY,region=NAME,operator=NAME,confidential: each node that computes it is "
            "attested this by this key (default: any node)"},
           {"--trace", "trace", kind::text, false,
            "Write what was done when, for Perfetto or chrome://tracing, to this file"},
           {"--cache", "cache", kind::text, false,
            "What it leaves: default, private, public or off"},
           {"--explain-cache", "explain_cache", kind::yes, false,
            "Say what every stage took from its cache, and why the rest was fetched or computed"},
           {"--deadline-ms", "deadline_ms", kind::natural, false, "The request ends after this"},
           {"--priority", "priority", kind::text, false,
            "batch: it takes the time that other requests leave (default: normal)"},
           {"--pay", "pay", kind::natural, false,
            "Pay from this shell's account, at most so many micro-credits (default: the node "
            "pays)"},
           {"--no-wait", "wait", kind::no, false, "Only start it; see 'attach'"}}),
      false};
}

command_spec load_command() {
  return {
      "load",
      "Hold layers of a model file on the node's own machine, or fetched from others by its name",
      {{"PATH", "path", kind::text, true, "GGUF file, or what ovir model manifest prints"},
       {"--first", "first_layer", kind::natural, false, "First layer (default: what fits)"},
       {"--last", "last_layer", kind::natural, false, "Last layer"}},
      false};
}

command_spec account_command() {
  return {"account",
          "This shell's own account in the ledger, whose key is the shell's",
          {{"ACTION", "action", kind::text, true, "balance, statement; transfer, stake, unstake"},
           {"SUBJECT", "subject", kind::text, false,
            "Of transfer the account that gets it, a key; of stake and unstake the amount; of "
            "statement the first entry (default: the newest)"},
           {"AMOUNT", "amount", kind::text, false, "Micro-credits"}},
          false};
}

command_spec log_command() {
  return {"log",
          "How much the node writes to its log",
          {{"LEVEL", "level", kind::text, true, "trace, debug, info, warn or error"}},
          false};
}

command_spec receipt_command(const argument_spec& request) {
  return {"receipt",
          "A page of the receipt of a request that is over, in hexadecimal",
          {request, {"--from", "from", kind::natural, false, "First byte (default: 0)"}}};
}

const std::vector<command_spec>& table() {
  static const argument_spec request{"REQUEST", "request", kind::hex, true, "As 'jobs' shows it"};
  static const argument_spec node{"NODE", "node", kind::text, true,
                                  "Name, key, or the key's first 8 digits"};
  static const argument_spec model{"MODEL", "model", kind::text, true,
                                   "Name, digest, or the digest's first 8 digits"};
  static const argument_spec of_model{
      "--model", "model", kind::text, false, "Name or digest (default: the only one)", "-m"};
  static const std::vector<command_spec> commands{
      {"nodes", "Members of the cluster", {}},
      {"models", "Models and who holds which layers", {}},
      {"cache", "What the node keeps for reuse, and what that saved", {}},
      {"fetches", "Weights the node fetches from others, and what it served", {}},
      {"placement", "Who holds which layers, who shall, and why", {}},
      {"reputation", "Who kept up, was in time and was there, and what it counts for", {}},
      {"audits", "Who was convicted of what, and what the node's verifier knows of others", {}},
      {"tree", "Supervision tree of the node, with restarts", {}},
      {"jobs", "Requests that run or wait", {}},
      {"job", "One request, stage by stage", {request}},
      {"why", "Where the time of a request goes, against its plan and its deadline", {request}},
      {"plan",
       "How a model would be cut now, and why",
       {of_model,
        {"--context", "context", kind::natural, false, "Positions per request"},
        {"--requests", "requests", kind::natural, false, "Requests at once"},
        {"--objective", "objective", kind::text, false, "interactive or batch"}}},
      {"top",
       "Tokens per second, slack, queue and memory per node",
       {{"--follow", "follow", kind::yes, false, "Again and again, until Ctrl-C", "-f"},
        {"--every", "every_ms", kind::natural, false, "Milliseconds in between (default: 1000)"}}},
      {"version", "Version, name and cluster of the node", {}},
      run_command(of_model),
      {"attach",
       "Follow a request that runs, from its first token or another",
       {request,
        {"--from", "from", kind::natural, false, "Index of the first token to show"},
        {"--reveal", "reveal", kind::text, false,
         "after: refuse one whose tokens are told at once (default: at_once)"}}},
      receipt_command(request),
      {"cancel", "End a request with what it has", {request}, false},
      {"drain", "Let a node finish what it has, take nothing new, and leave", {node}, false},
      {"kick", "Close a node's links and refuse it", {node}, false},
      {"invitations", "Invitations that were used or revoked", {}},
      {"revoke",
       "End an invitation, as ovir invite revoke does",
       {{"TOKEN", "token", kind::text, true, "What ovir invite revoke --print prints"}},
       false},
      load_command(),
      {"unload", "Drop a model once nobody uses it", {model}, false},
      ledger_command(),
      account_command(),
      log_command(),
      chaos_command(node),
  };
  return commands;
}

bool is_option(const argument_spec& a) { return a.name.starts_with("-"); }
bool takes_value(const argument_spec& a) { return a.kind != kind::yes && a.kind != kind::no; }

template <class Number>
std::optional<Number> number_from(std::string_view text) {
  Number value{};
  const char* const end = text.data() + text.size();
  const auto [last, wrong] = std::from_chars(text.data(), end, value);
  if (wrong != std::errc{} || last != end) {
    return std::nullopt;
  }
  return value;
}

/// Reads the words of one command into its arguments.
class argument_reader {
public:
  explicit argument_reader(shell_command& into) : into_(into) {}

  result<void> read(const std::vector<std::string>& words) {
    bool options_over = false;
    for (std::size_t i = 1; i < words.size(); ++i) {
      const std::string& word = words[i];
      if (!options_over && word == "--") {
        options_over = true;
      } else if (!options_over && word.size() > 1 && word[0] == '-') {
        OVIR_TRY(read_option(words, i));
      } else {
        OVIR_TRY(read_place(word));
      }
    }
    return check_required();
  }

private:
  [[nodiscard]] std::string_view name() const { return into_.spec->name; }

  result<void> read_option(const std::vector<std::string>& words, std::size_t& i) {
    const std::string& word = words[i];
    const auto& all = into_.spec->arguments;
    const auto found = std::find_if(all.begin(), all.end(), [&word](const argument_spec& a) {
      return is_option(a) && (a.name == word || a.short_name == word);
    });
    if (found == all.end()) {
      return fail(errc::invalid_argument, "{} has no option '{}'; see help {}", name(), word,
                  name());
    }
    if (!takes_value(*found)) {
      return put(*found, {});
    }
    if (i + 1 == words.size()) {
      return fail(errc::invalid_argument, "{} {} needs a value", name(), word);
    }
    ++i;
    return put(*found, words[i]);
  }

  result<void> read_place(const std::string& word) {
    for (const argument_spec& a : into_.spec->arguments) {
      if (is_option(a)) {
        continue;
      }
      if (a.kind == kind::rest || !into_.args.contains(a.key)) {
        return put(a, word);
      }
    }
    return fail(errc::invalid_argument, "{} does not know what to do with '{}'; see help {}",
                name(), word, name());
  }

  result<void> check_required() const {
    for (const argument_spec& a : into_.spec->arguments) {
      if (a.required && !into_.args.contains(a.key)) {
        return fail(errc::invalid_argument, "{} needs {}; see help {}", name(), a.name, name());
      }
    }
    return {};
  }

  [[nodiscard]] error wrong(const argument_spec& a, std::string_view word,
                            std::string_view what) const {
    return fail(errc::invalid_argument, "{} {}: '{}' is not {}", name(), a.name, word, what);
  }

  result<void> put(const argument_spec& a, const std::string& word) {
    json& to = into_.args[std::string{a.key}];
    switch (a.kind) {
    case kind::text: to = word; return {};
    case kind::rest: to = to.is_string() ? to.get<std::string>() + " " + word : word; return {};
    case kind::yes: to = true; return {};
    case kind::no: to = false; return {};
    case kind::texts: to.push_back(word); return {};
    case kind::natural: {
      const auto value = number_from<std::uint64_t>(word);
      if (!value) {
        return wrong(a, word, "a whole number from 0");
      }
      to = *value;
      return {};
    }
    case kind::real: {
      const auto value = number_from<double>(word);
      if (!value || !std::isfinite(*value)) {
        return wrong(a, word, "a number");
      }
      to = *value;
      return {};
    }
    case kind::numbers: return put_numbers(a, word, to);
    case kind::hex: return put_hex(a, word, to);
    }
    return {};
  }

  result<void> put_numbers(const argument_spec& a, std::string_view word, json& to) const {
    to = json::array();
    while (true) {
      const std::size_t comma = word.find(',');
      const auto value = number_from<std::uint32_t>(word.substr(0, comma));
      if (!value) {
        return wrong(a, word.substr(0, comma), "a token id");
      }
      to.push_back(*value);
      if (comma == std::string_view::npos) {
        return {};
      }
      word.remove_prefix(comma + 1);
    }
  }

  result<void> put_hex(const argument_spec& a, std::string_view word, json& to) const {
    std::uint64_t value = 0;
    const char* const end = word.data() + word.size();
    const auto [last, failed] = std::from_chars(word.data(), end, value, 16);
    if (failed != std::errc{} || last != end || word.size() > 16) {
      return wrong(a, word, "a request's id of 1 to 16 hexadecimal digits");
    }
    to = fmt::format("{:016x}", value);
    return {};
  }

  shell_command& into_;
};

/// Collects words and commands character by character.
struct line_cutter {
  std::vector<std::vector<std::string>> commands;
  std::vector<std::string> words;
  std::string word;
  bool in_word{false};

  void end_word() {
    if (in_word) {
      words.push_back(std::move(word));
    }
    word.clear();
    in_word = false;
  }
  void end_command() {
    end_word();
    if (!words.empty()) {
      commands.push_back(std::move(words));
    }
    words.clear();
  }
  void add(char c) {
    word += c;
    in_word = true;
  }
};

} // namespace

std::span<const command_spec> shell_commands() { return table(); }

const command_spec* find_command(std::string_view name) {
  const auto found = std::find_if(table().begin(), table().end(),
                                  [name](const command_spec& c) { return c.name == name; });
  return found == table().end() ? nullptr : &*found;
}

result<std::vector<std::vector<std::string>>> split_line(std::string_view line) {
  line_cutter cut;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      ++i;
      cut.add(line[i]);
    } else if (quote != 0 && c == quote) {
      quote = 0;
    } else if (quote != 0) {
      cut.add(c);
    } else if (c == '"' || c == '\'') {
      quote = c;
      cut.in_word = true;
    } else if (c == ';') {
      cut.end_command();
    } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      cut.end_word();
    } else {
      cut.add(c);
    }
  }
  if (quote != 0) {
    return fail(errc::invalid_argument, "a quote {} is opened and not closed", quote);
  }
  cut.end_command();
  return std::move(cut.commands);
}

result<shell_command> parse_command(const std::vector<std::string>& words) {
  OVIR_CHECK(!words.empty());
  shell_command command;
  command.spec = find_command(words[0]);
  if (command.spec == nullptr) {
    return fail(errc::invalid_argument, "there is no command '{}'; see help", words[0]);
  }
  OVIR_TRY(argument_reader{command}.read(words));
  if (command.spec->name == "run" &&
      command.args.contains("prompt") == command.args.contains("tokens")) {
    return fail(errc::invalid_argument, "run needs either a PROMPT or --ids; see help run");
  }
  return command;
}

std::vector<std::string> completions(std::string_view line) {
  if (const std::size_t last = line.rfind(';'); last != std::string_view::npos) {
    line.remove_prefix(last + 1);
  }
  const std::size_t begin = line.find_first_not_of(" \t");
  line.remove_prefix(std::min(begin, line.size()));
  const std::size_t word_at = line.find_last_of(" \t");
  const std::string_view word = word_at == std::string_view::npos ? line : line.substr(word_at + 1);
  const std::string_view first = line.substr(0, line.find_first_of(" \t"));
  std::vector<std::string> found;
  const auto offer = [&found, word](std::string_view text) {
    if (text.starts_with(word)) {
      found.emplace_back(text);
    }
  };
  if (word_at == std::string_view::npos || first == "help") {
    for (const command_spec& c : table()) {
      offer(c.name);
    }
    if (word_at == std::string_view::npos) {
      offer("help");
      offer("exit");
    }
  } else if (const command_spec* const command = find_command(first)) {
    for (const argument_spec& a : command->arguments) {
      if (is_option(a)) {
        offer(a.name);
      }
    }
  }
  return found;
}

std::string help_text() {
  std::string text;
  for (const command_spec& c : table()) {
    text += fmt::format("  {:<10} {}{}\n", c.name, c.help, c.looks ? "" : " *");
  }
  return text + "  help [COMMAND], exit; several commands at once are separated by ;\n"
                "  * needs the role 'operate', the others 'reader'\n";
}

result<std::string> help_text(std::string_view command) {
  const command_spec* const spec = find_command(command);
  if (spec == nullptr) {
    return fail(errc::not_found, "there is no command '{}'; see help", command);
  }
  std::string usage{spec->name};
  std::string arguments;
  for (const argument_spec& a : spec->arguments) {
    if (!is_option(a)) {
      usage += a.required ? fmt::format(" {}", a.name) : fmt::format(" [{}]", a.name);
    }
    const std::string names =
        a.short_name.empty() ? std::string{a.name} : fmt::format("{}, {}", a.name, a.short_name);
    arguments += fmt::format("  {:<18} {}\n", names, a.help);
  }
  return fmt::format("{}: {}\n{}", usage, spec->help, arguments);
}

} // namespace ovir::apps
