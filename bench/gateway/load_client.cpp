// Clients of an HTTP endpoint, thousands in one process, and what they were told as one JSON
// document. bench/gateway_load runs it; bench/README.md has the method.
#include "bench/gateway/crowd.hpp"
#include "bench/gateway/stream_client.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <iostream>
#include <map>
#include <stdexcept>
#include <vector>

namespace ovir::bench {
namespace {

namespace asio = boost::asio;
using clock = std::chrono::steady_clock;
using json = nlohmann::json;

struct options {
  std::string to;
  std::string model;
  std::string key;
  std::uint32_t clients{200};
  std::uint32_t fresh{0};
  std::uint32_t crowd{0};
  std::uint32_t requests{0};
  std::uint32_t seconds{120};
  std::uint32_t prompt{16};
  std::uint32_t prompts{8};
  std::uint32_t tokens{64};
};

/// Where nothing that could go wrong may be shown ever again and again.
constexpr std::size_t errors_shown = 5;
constexpr std::uint32_t prompts_tried_max = 1'000;

std::string body_of(const options& o, std::uint32_t which) {
  json prompt = json::array();
  for (std::uint32_t i = 0; i < o.prompt; ++i) {
    prompt.push_back((which * 31 + i * 7 + i * i * which) % 250);
  }
  return json{{"model", o.model},
              {"prompt", std::move(prompt)},
              {"max_tokens", o.tokens},
              {"temperature", 0},
              {"stream", true},
              {"speculate", false},
              {"stream_options", {{"include_usage", true}}}}
      .dump();
}

json summary(std::vector<double> values) {
  if (values.empty()) {
    return nullptr;
  }
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
  };
  return {
      {"least", values.front()}, {"median", at(0.5)}, {"p99", at(0.99)}, {"most", values.back()}};
}

/// What all clients were told.
class findings {
public:
  void add(std::uint32_t prompt, const stream_outcome& o) {
    ++statuses_[std::to_string(o.status)];
    const bool refused = o.status == 429 || o.status == 503;
    refused_politely_ += refused && o.may_try ? 1 : 0;
    if (o.status != 200 || !o.whole) {
      note(refused ? "" : o.error, refused && o.may_try);
      return;
    }
    if (o.ending != "length") {
      note("an answer ended early: " + o.ending, false);
    }
    std::string& known = transcripts_[prompt];
    if (!known.empty() && known != o.transcript) {
      note("two answers to one request have different transcripts", false);
    }
    known = o.transcript;
    ++whole_;
    tokens_ += o.tokens;
    first_.push_back(o.first_token.count());
    end_.push_back(o.end.count());
    decode_.push_back((o.end - o.first_token).count() / std::max(1U, o.tokens - 1));
  }
  [[nodiscard]] json document() const {
    return {{"errors", errors_},
            {"first_errors", first_errors_},
            {"statuses", statuses_},
            {"refused_with_retry_after", refused_politely_},
            {"answers", whole_},
            {"answered_tokens", tokens_},
            {"first_token_s", summary(first_)},
            {"token_s", summary(decode_)},
            {"answer_s", summary(end_)}};
  }

private:
  void note(const std::string& what, bool expected) {
    errors_ += expected ? 0 : 1;
    if (!expected && first_errors_.size() < errors_shown) {
      first_errors_.push_back(what.empty() ? "refused without Retry-After" : what);
    }
  }

  std::uint64_t errors_{0};
  std::vector<std::string> first_errors_;
  std::map<std::string, std::uint64_t> statuses_;
  std::uint64_t refused_politely_{0};
  std::uint64_t whole_{0};
  std::uint64_t tokens_{0};
  std::map<std::uint32_t, std::string> transcripts_;
  std::vector<double> first_;
  std::vector<double> end_;
  std::vector<double> decode_;
};

class load {
public:
  load(options given, place where) : given_(std::move(given)), where_(std::move(where)) {}

  json run() {
    find_prompts();
    document_["prompts"] = bodies_.size();
    given_.requests > 0 ? burst() : stream();
    document_.update(findings_.document());
    return document_;
  }

private:
  /// Equal requests have answers of equal length: prompts whose answer no token of the model ends.
  void find_prompts() {
    const auto client = make_stream_client(context_, where_, true);
    for (std::uint32_t which = 1; bodies_.size() < given_.prompts; ++which) {
      if (which > prompts_tried_max) {
        throw std::runtime_error("this model ends its answers early, whatever the prompt");
      }
      stream_outcome outcome;
      client->ask(body_of(given_, which), {}, [&](const stream_outcome& o) { outcome = o; });
      context_.restart();
      context_.run();
      if (!outcome.whole) {
        throw std::runtime_error("the endpoint does not answer: " + outcome.error);
      }
      if (outcome.ending == "length") {
        bodies_.push_back(body_of(given_, which));
      }
    }
    client->close();
    context_.restart();
  }

  /// All at once, each on a connection of its own.
  void burst() {
    std::vector<std::shared_ptr<stream_client>> clients;
    for (std::uint32_t i = 0; i < given_.requests; ++i) {
      const std::uint32_t which = i % given_.prompts;
      clients.push_back(make_stream_client(context_, where_, false));
      clients.back()->ask(bodies_[which], {},
                          [this, which](const stream_outcome& o) { findings_.add(which, o); });
    }
    context_.run();
  }

  struct asker {
    std::shared_ptr<stream_client> client;
    std::uint32_t prompt{0};
    std::uint64_t tokens{0}; ///< while it counts
    bool under_way{false};
  };

  void stream() {
    const bool has_crowd = given_.crowd > 0;
    std::shared_ptr<crowd> idle;
    if (has_crowd) {
      idle = make_crowd(context_, where_, given_.crowd);
    }
    askers_.resize(given_.clients + given_.fresh);
    end_ = clock::now() + std::chrono::seconds{given_.seconds};
    for (std::size_t i = 0; i < askers_.size(); ++i) {
      askers_[i].prompt = static_cast<std::uint32_t>(i % given_.prompts);
      askers_[i].client = make_stream_client(context_, where_, i < given_.clients);
      ask_again(i);
    }
    std::size_t most = 0;
    bool over = false;
    while (!over && !context_.stopped()) {
      context_.run_for(std::chrono::milliseconds{100});
      most = std::max(most, idle ? idle->counts().open : 0);
      over = clock::now() >= end_ && std::none_of(askers_.begin(), askers_.end(),
                                                  [](const asker& a) { return a.under_way; });
    }
    if (idle) {
      const crowd_counts c = idle->counts();
      document_["crowd"] = {{"open_at_most", most},    {"open_at_end", c.open},
                            {"opened", c.opened},      {"closed_by_server", c.closed},
                            {"of_these_told", c.told}, {"not_connected", c.refused}};
    }
    std::uint64_t least_tokens = UINT64_MAX;
    std::uint64_t most_tokens = 0;
    std::uint64_t all = 0;
    for (std::size_t i = 0; i < given_.clients; ++i) {
      least_tokens = std::min(least_tokens, askers_[i].tokens);
      most_tokens = std::max(most_tokens, askers_[i].tokens);
      all += askers_[i].tokens;
    }
    document_["clients"] = given_.clients;
    document_["seconds"] = given_.seconds;
    document_["tokens"] = all;
    document_["least_tokens"] = given_.clients == 0 ? 0 : least_tokens;
    document_["most_tokens"] = most_tokens;
  }

  void ask_again(std::size_t i) {
    asker& a = askers_[i];
    a.under_way = clock::now() < end_;
    if (!a.under_way) {
      return a.client->close();
    }
    a.client->ask(
        bodies_[a.prompt], [&a, this] { a.tokens += clock::now() < end_ ? 1 : 0; },
        [this, i](const stream_outcome& o) {
          findings_.add(askers_[i].prompt, o);
          ask_again(i);
        });
  }

  options given_;
  place where_;
  asio::io_context context_{1};
  std::vector<std::string> bodies_; ///< one for each prompt
  std::vector<asker> askers_;
  findings findings_;
  clock::time_point end_;
  json document_;
};

/// Each connection needs a descriptor.
void raise_descriptors(std::size_t connections) {
  constexpr std::size_t others = 64;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_max < connections + others) {
    throw std::runtime_error(
        fmt::format("{} connections need as many descriptors, and `ulimit -Hn` "
                    "allows {}; raise it or ask for fewer",
                    connections, files.rlim_max));
  }
}

place place_of(const options& o) {
  const std::size_t colon = o.to.rfind(':');
  std::uint16_t port = 0;
  const char* const end = o.to.data() + o.to.size();
  if (colon == std::string::npos ||
      std::from_chars(o.to.data() + colon + 1, end, port).ptr != end) {
    throw std::runtime_error("'" + o.to + "' is no ADDRESS:PORT");
  }
  return {{asio::ip::make_address(o.to.substr(0, colon)), port}, o.to, o.key};
}

} // namespace
} // namespace ovir::bench

int main(int argc, char** argv) {
  using namespace ovir::bench;
  options given;
  CLI::App app{"Clients of an HTTP endpoint: streams for a while, or with --requests all at once"};
  const auto count = [](std::uint32_t least) { return CLI::Range(least, 100'000U); };
  app.add_option("--to", given.to, "ADDRESS:PORT of the endpoint")->required();
  app.add_option("--model", given.model, "Its name there")->required();
  app.add_option("--key", given.key, "API key");
  app.add_option("--clients", given.clients, "That stream, a connection each")->check(count(0));
  app.add_option("--fresh", given.fresh, "That make a connection for each request")
      ->check(count(0));
  app.add_option("--crowd", given.crowd, "Connections that are idle or half begun")
      ->check(count(0));
  app.add_option("--requests", given.requests, "At once, each once, instead")->check(count(0));
  app.add_option("--seconds", given.seconds, "For how long")->check(count(1));
  app.add_option("--prompt", given.prompt, "Tokens of a prompt")->check(count(1));
  app.add_option("--prompts", given.prompts, "Different ones")->check(count(1));
  app.add_option("--tokens", given.tokens, "Tokens of an answer")->check(count(2));
  CLI11_PARSE(app, argc, argv);
  try {
    raise_descriptors(std::size_t{given.clients} + given.fresh + given.crowd + given.requests);
    std::cout << load{given, place_of(given)}.run().dump(1) << std::endl;
    return 0;
  } catch (const std::exception& problem) {
    std::cerr << "ovir_load_client: " << problem.what() << '\n';
    return 1;
  }
}
