// Keys of HTTP clients at a gateway of a cluster of processes: their limits hold under 64 requests
// at once, and nobody writes them down.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_client.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <array>
#include <chrono>

namespace ovir::test {
namespace {

namespace fs = std::filesystem;
using plain_json = nlohmann::json;
using testing::HasSubstr;

constexpr int at_once = 64;
constexpr std::array prompt{7, 8, 9}; // token ids
constexpr std::uint64_t prompt_tokens = prompt.size();

/// RFC 4648's base64url without padding.
std::vector<std::uint8_t> bytes_of_base64url(std::string_view text) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::vector<std::uint8_t> bytes;
  std::uint32_t bits = 0;
  int size = 0;
  for (const char c : text) {
    bits = bits << 6U | static_cast<std::uint32_t>(digits.find(c));
    size += 6;
    if (size >= 8) {
      size -= 8;
      bytes.push_back(static_cast<std::uint8_t>(bits >> static_cast<unsigned>(size)));
    }
  }
  return bytes;
}

class keyed_cluster : public ::testing::Test {
protected:
  void SetUp() override {
    const std::string model = (keys_.path() / "m.gguf").string();
    ASSERT_EQ(run_ovir({"model", "synth", model, "--layers", "8"}).exit_code, 0);
    reader_ = make_key("reader", {"--role", "metrics"});
    cluster_spec spec{{{"front", {"scheduler"}, {{model}}},
                       {"left", {"worker"}, {{model, "0-3"}}},
                       {"right", {"worker"}, {{model, "4-7"}}}}};
    spec.log_level = "debug";
    cluster_.emplace(std::move(spec));
    port_ = free_port();
    write_file(cluster_->config(0),
               read_file(cluster_->config(0)) +
                   fmt::format("\n[gateway]\nlisten = \"127.0.0.1:{}\"\nkeys = \"{}\"\n"
                               "resume_ms = 100\n",
                               port_, key_file()));
  }
  void start() {
    cluster_->start();
    wait_until_ready(port_);
  }

  [[nodiscard]] std::string key_file() const { return (keys_.path() / "keys.json").string(); }
  std::string make_key(const std::string& name, std::vector<std::string> more) {
    std::vector<std::string> all{"key", "create", "-f", key_file(), name};
    all.insert(all.end(), more.begin(), more.end());
    return ovir_json(all)["key"];
  }

  static http_fields bearer(const std::string& key) { return {{"Authorization", "Bearer " + key}}; }
  static std::string body_of(std::uint64_t max_tokens,
                             const plain_json& more = plain_json::object()) {
    plain_json body{
        {"model", "m.gguf"}, {"prompt", prompt}, {"max_tokens", max_tokens}, {"temperature", 2}};
    body.update(more);
    return body.dump();
  }
  [[nodiscard]] http_answer complete(const std::string& key, std::uint64_t max_tokens) const {
    return http_ask(port_, "POST", "/v1/completions", body_of(max_tokens), bearer(key));
  }
  /// All of them are sent before the first answer is read.
  [[nodiscard]] std::vector<http_answer> complete_at_once(const std::string& key,
                                                          std::uint64_t max_tokens) const {
    std::vector<http_socket> sockets;
    for (int i = 0; i < at_once; ++i) {
      sockets.emplace_back(port_);
      sockets.back().send(http_text("POST", "/v1/completions", body_of(max_tokens), bearer(key)));
    }
    std::vector<http_answer> answers;
    answers.reserve(sockets.size());
    for (http_socket& socket : sockets) {
      answers.push_back(socket.answer());
    }
    return answers;
  }
  static int count(const std::vector<http_answer>& answers, int status) {
    return static_cast<int>(std::count_if(answers.begin(), answers.end(),
                                          [&](const auto& a) { return a.status == status; }));
  }

  [[nodiscard]] std::uint64_t metric(const std::string& name) const {
    const std::string page = http_ask(port_, "GET", "/metrics", {}, bearer(reader_)).body;
    const std::string line = "\novir_gateway_" + name + " ";
    const std::size_t at = page.find(line);
    return at == std::string::npos ? 0 : std::stoull(page.substr(at + line.size()));
  }
  /// Tokens of all prompts and answers, once no request is under way.
  [[nodiscard]] std::uint64_t tokens_spent() const {
    while (metric("requests_under_way") > 0) {
    }
    return metric("prompt_tokens_total") + metric("completion_tokens_total");
  }

  temporary_folder keys_;
  std::string reader_;
  std::uint16_t port_{0};
  std::optional<test_cluster> cluster_;
};

TEST_F(keyed_cluster, a_quota_holds_to_the_token_under_64_requests_at_once) {
  constexpr std::uint64_t quota = 1'000;
  constexpr std::uint64_t longest = 17;
  const std::string key = make_key("ann", {"--tokens-per-day", std::to_string(quota)});
  start();
  for (int wave = 0; wave < 4; ++wave) {
    std::vector<http_socket> sockets;
    for (int i = 0; i < at_once; ++i) {
      // Answers of every length: some end early and give back, some are left in the middle.
      const plain_json more{{"stream", i % 4 == 0}, {"seed", 100 * wave + i}, {"stop", "a"}};
      sockets.emplace_back(port_);
      sockets.back().send(
          http_text("POST", "/v1/completions", body_of(longest, more), bearer(key)));
    }
    for (int i = 0; i < at_once; ++i) {
      http_socket& socket = sockets[static_cast<std::size_t>(i)];
      if (i % 8 == 0) {
        (void)socket.read_until("\r\n\r\n"); // its head, and off
        socket.close();
        continue;
      }
      const http_answer answer = socket.answer();
      EXPECT_TRUE(answer.status == 200 || answer.status == 429) << answer.status << answer.body;
      if (answer.status == 429) {
        EXPECT_EQ(plain_json::parse(answer.body)["error"]["code"], "insufficient_quota");
        EXPECT_GT(std::stoull(answer.fields.at("retry-after")), 0U);
      }
    }
    EXPECT_LE(tokens_spent(), quota);
  }
  std::uint64_t left = quota - tokens_spent();
  EXPECT_LT(left, prompt_tokens + longest) << "a request was refused that it had tokens for";
  while (left > prompt_tokens) { // again and again, as answers may end before their length
    const http_answer more = complete(key, left - prompt_tokens + 1);
    EXPECT_EQ(more.status, 429) << "a token more than there are: " << more.body;
    EXPECT_THAT(more.body, HasSubstr(fmt::format("has {} of its {}", left, quota)));
    const http_answer all = complete(key, left - prompt_tokens);
    ASSERT_EQ(all.status, 200) << "all there are: " << all.body;
    const std::uint64_t used = plain_json::parse(all.body)["usage"]["total_tokens"];
    left -= used;
    EXPECT_EQ(quota - left, tokens_spent());
  }
  EXPECT_EQ(count(complete_at_once(key, 1), 200), 0) << "nothing is left";
}

TEST_F(keyed_cluster, who_may_have_five_under_way_has_five_of_64) {
  constexpr int most = 5;
  const std::string key = make_key("ann", {"--concurrent", std::to_string(most)});
  start();
  // Answers that cannot end before all 64 are there: what they must be has so many items.
  const plain_json format{
      {"type", "json_schema"},
      {"json_schema",
       {{"name", "long"},
        {"schema", {{"type", "array"}, {"items", {{"type", "boolean"}}}, {"minItems", 60}}}}}};
  std::vector<http_socket> busy;
  for (int i = 0; i < at_once; ++i) {
    busy.emplace_back(port_);
    busy.back().send(http_text("POST", "/v1/completions",
                               body_of(480, {{"stream", true}, {"response_format", format}}),
                               bearer(key)));
  }
  int begun = 0;
  for (http_socket& socket : busy) {
    const std::string head = socket.read_until("\r\n\r\n");
    begun += head.starts_with("HTTP/1.1 200") ? 1 : 0;
    if (head.starts_with("HTTP/1.1 429")) {
      EXPECT_THAT(head, HasSubstr("Retry-After: "));
    }
    EXPECT_LE(metric("requests_under_way"), most);
  }
  EXPECT_GE(begun, most);
  EXPECT_LE(metric("requests_under_way"), most);
  busy.clear();
  while (metric("requests_under_way") > 0) {
  }
  EXPECT_EQ(complete(key, 2).status, 200) << "those that went made room";
}

TEST_F(keyed_cluster, who_may_begin_six_a_minute_begins_six_of_64) {
  constexpr int most = 6;
  const std::string key = make_key("ann", {"--requests-per-minute", std::to_string(most)});
  start();
  const auto began = std::chrono::steady_clock::now();
  const auto answers = complete_at_once(key, 2);
  const double minutes =
      std::chrono::duration<double, std::ratio<60>>(std::chrono::steady_clock::now() - began)
          .count();
  EXPECT_GE(count(answers, 200), most);
  EXPECT_LE(count(answers, 200), most + static_cast<int>(minutes * most));
  EXPECT_EQ(count(answers, 200) + count(answers, 429), at_once);
  for (const http_answer& answer : answers) {
    EXPECT_TRUE(answer.status == 200 || answer.fields.contains("retry-after"));
  }
}

TEST_F(keyed_cluster, no_key_is_in_any_file_log_or_answer) {
  const std::string ann = make_key("ann", {"--tokens-per-day", "100"});
  const std::string gone = make_key("gone", {});
  ASSERT_EQ(run_ovir({"key", "revoke", "-f", key_file(), "gone"}).exit_code, 0);
  std::string strange = ann; // of the right form, and nobody's
  std::swap(strange[20], strange[30]);
  strange[25] = strange[25] == 'A' ? 'B' : 'A';
  start();
  std::string told;
  const auto ask = [&](const std::string& path, const http_fields& fields,
                       const std::string& body = {}) {
    const http_answer answer = http_ask(port_, body.empty() ? "GET" : "POST", path, body, fields);
    told += answer.body;
    for (const auto& [name, value] : answer.fields) {
      told += value + "\n";
    }
    return answer.status;
  };
  EXPECT_EQ(ask("/v1/completions", bearer(ann), body_of(4)), 200);
  EXPECT_EQ(ask("/v1/completions", bearer(ann), body_of(200)), 429);
  for (const std::string& wrong : {gone, strange, ann + "x", ann.substr(8)}) {
    EXPECT_EQ(ask("/v1/completions", bearer(wrong), body_of(4)), 401);
    EXPECT_EQ(ask("/v1/models", bearer(wrong)), 401);
    EXPECT_EQ(ask("/v1/models", {{"X-API-Key", wrong}}), 401);
  }
  EXPECT_EQ(ask("/v1/models", {{"X-API-Key", ann}}), 200) << "Anthropic's clients put it there";
  // Where it does not belong, as people put it.
  EXPECT_EQ(ask("/v1/models?api_key=" + ann, {}), 401);
  EXPECT_EQ(ask("/v1/models", {{"Authorization", "Basic " + ann}}), 401);
  EXPECT_EQ(ask("/" + gone, bearer(ann)), 404);
  http_socket noise{port_};
  noise.send("GET / HTTP/1.1\r\nAuthorization : Bearer " + ann + "\r\n\r\n");
  told += noise.read_to_end().value_or("");
  for (std::size_t i = 0; i < cluster_->size(); ++i) {
    const child_result ended = cluster_->terminate(i);
    told += ended.out + ended.err;
  }
  std::size_t files = 0;
  for (const fs::path& folder : {keys_.path(), cluster_->folder()}) {
    for (const auto& entry : fs::recursive_directory_iterator{folder}) {
      if (entry.is_regular_file()) {
        told += read_file(entry.path());
        ++files;
      }
    }
  }
  EXPECT_GT(files, 8U);
  const auto contains = [&](const std::string& text) {
    return told.find(text) != std::string::npos;
  };
  EXPECT_TRUE(contains("key 'ann': completion")) << "the log is among what was read";
  for (const std::string& key : {ann, gone, strange, reader_}) {
    const std::string secret = key.substr(8);
    EXPECT_FALSE(contains(secret)) << "as text";
    EXPECT_FALSE(contains(secret.substr(0, 20))) << "a part of it";
    const std::vector<std::uint8_t> bytes = bytes_of_base64url(secret);
    EXPECT_EQ(bytes.size(), 32U);
    std::string hex;
    for (const std::uint8_t byte : bytes) {
      hex += fmt::format("{:02x}", byte);
    }
    EXPECT_FALSE(contains(hex)) << "as digits";
    EXPECT_FALSE(contains(std::string{bytes.begin(), bytes.end()})) << "as bytes";
  }
  const fs::perms secret = fs::status(key_file() + ".secret").permissions();
  EXPECT_EQ(secret & (fs::perms::group_all | fs::perms::others_all), fs::perms::none);
}

} // namespace
} // namespace ovir::test
