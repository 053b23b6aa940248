// The OpenAPI document, held against the server: what it says is so, and nothing else is there.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/http_upload.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <regex>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;

class openapi : public ::testing::Test {
protected:
  void SetUp() override {
    document_ = plain_json::parse(read_file(source_file("docs/openapi.json")));
    port_ = free_port();
    child_options options;
    options.environment["OVIR_HOME"] = (folder_.path() / "state").string();
    options.deadline = std::chrono::hours{1};
    server_.emplace(std::vector<std::string>{ovir_program(), "serve", "--http",
                                             fmt::format("127.0.0.1:{}", port_), "-t", "1"},
                    options);
    wait_until_ready(port_);
  }

  [[nodiscard]] const plain_json& resolved(const plain_json& schema) const {
    return schema.contains("$ref")
               ? document_.at(plain_json::json_pointer{schema["$ref"].get<std::string>().substr(1)})
               : schema;
  }

  [[nodiscard]] static bool has_type(const plain_json& value, const std::string& type) {
    return (type == "string" && value.is_string()) || (type == "null" && value.is_null()) ||
           (type == "integer" && value.is_number_integer()) ||
           (type == "number" && value.is_number()) || (type == "boolean" && value.is_boolean()) ||
           (type == "array" && value.is_array()) || (type == "object" && value.is_object());
  }

  /// What of `value` is not as the schema says; empty: nothing.
  [[nodiscard]] std::string fault(const plain_json& value, const plain_json& given,
                                  const std::string& at) const {
    const plain_json& schema = resolved(given);
    if (schema.contains("type")) {
      const plain_json types =
          schema["type"].is_array() ? schema["type"] : plain_json::array({schema["type"]});
      bool fits = false;
      for (const plain_json& type : types) {
        fits = fits || has_type(value, type.get<std::string>());
      }
      if (!fits) {
        return at + " has another type";
      }
    }
    if (schema.contains("enum") &&
        std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end()) {
      return at + " is no value of the list";
    }
    if (schema.contains("pattern") && value.is_string() &&
        !std::regex_match(value.get<std::string>(),
                          std::regex{schema["pattern"].get<std::string>()})) {
      return at + " does not follow its pattern";
    }
    for (const plain_json& name : schema.value("required", plain_json::array())) {
      if (value.is_object() && !value.contains(name.get<std::string>())) {
        return at + " lacks " + name.get<std::string>();
      }
    }
    if (value.is_object() && schema.contains("properties")) {
      for (const auto& [name, one] : value.items()) {
        if (!schema["properties"].contains(name)) {
          return at + " has " + name + ", which is not described";
        }
        const std::string inner = fault(one, schema["properties"][name], at + "." + name);
        if (!inner.empty()) {
          return inner;
        }
      }
    }
    if (value.is_array() && schema.contains("items")) {
      for (const plain_json& one : value) {
        const std::string inner = fault(one, schema["items"], at + "[]");
        if (!inner.empty()) {
          return inner;
        }
      }
    }
    return {};
  }

  /// The schema an answer must follow; null where the document has no such status.
  [[nodiscard]] plain_json schema_for(const plain_json& operation, int status) const {
    const auto& responses = operation.at("responses");
    const auto found = responses.find(std::to_string(status));
    return found == responses.end()
               ? plain_json(nullptr)
               : found->at("content")
                     .value("application/json", plain_json{{"schema", plain_json::object()}})
                     .at("schema");
  }

  void expect_described(const plain_json& operation, const http_answer& answer,
                        const std::string& what) {
    const plain_json schema = schema_for(operation, answer.status);
    const auto& content =
        operation.at("responses").value(std::to_string(answer.status), plain_json::object());
    if (answer.status == 200 &&
        content.value("content", plain_json::object()).contains("text/plain")) {
      EXPECT_TRUE(answer.fields.at("content-type").starts_with("text/plain")) << what;
      return;
    }
    ASSERT_FALSE(schema.is_null()) << what << " answers " << answer.status << ": " << answer.body;
    EXPECT_EQ(fault(plain_json::parse(answer.body), schema, "answer"), "") << what << answer.body;
  }

  static std::string filled(std::string path) {
    path = std::regex_replace(path, std::regex{"\\{model\\}"}, "embedded");
    return std::regex_replace(path, std::regex{"\\{id\\}"}, "00000000000000aa");
  }

  plain_json document_;
  temporary_folder folder_;
  std::uint16_t port_{0};
  std::optional<child_process> server_;
};

TEST_F(openapi, every_path_and_method_answers_as_described_and_no_other_does) {
  for (const auto& [path, methods] : document_["paths"].items()) {
    for (const std::string method : {"get", "post", "put", "delete", "patch", "head", "options"}) {
      std::string upper = method;
      std::transform(upper.begin(), upper.end(), upper.begin(),
                     [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
      const bool described = methods.contains(method);
      std::string body;
      const plain_json content = described && methods[method].contains("requestBody")
                                     ? methods[method]["requestBody"]["content"]
                                     : plain_json::object();
      if (content.contains("application/json")) {
        body = content["application/json"]["example"].dump();
      }
      if (method == "head") { // has no body that could be read
        continue;
      }
      const http_answer answer =
          content.contains("multipart/form-data")
              ? http_upload(
                    port_,
                    content["multipart/form-data"]["example"]["file"].get_ref<const std::string&>())
              : http_ask(port_, upper, filled(path), body);
      const std::string what = upper + " " + path + ": ";
      if (described) {
        expect_described(methods[method], answer, what);
      } else {
        EXPECT_EQ(answer.status, 405) << what;
      }
    }
  }
  EXPECT_EQ(http_ask(port_, "GET", "/openapi.json").status, 404);
}

TEST_F(openapi, every_parameter_is_taken_within_its_bounds_and_refused_by_name_beyond) {
  for (const std::string path : {"/v1/completions", "/v1/chat/completions", "/v1/embeddings"}) {
    const plain_json& operation = document_["paths"][path]["post"];
    const plain_json& content = operation["requestBody"]["content"]["application/json"];
    const plain_json& schema = resolved(content["schema"]);
    const auto ask = [&](const std::string& name, const plain_json& value) {
      plain_json body = content["example"];
      body[name] = value;
      if (name == "stream_options") {
        body["stream"] = true;
      }
      if (name == "top_logprobs" && path == "/v1/chat/completions") {
        body["logprobs"] = true;
      }
      if (name == "max_completion_tokens" || name == "max_tokens") {
        body.erase("max_tokens");
        body[name] = value;
      }
      return http_ask(port_, "POST", path, body.dump());
    };
    for (const auto& [name, property] : schema["properties"].items()) {
      if (name == "model" || name == "prompt" || name == "messages" || name == "input") {
        continue;
      }
      std::vector<plain_json> good;
      std::vector<plain_json> bad;
      for (const plain_json& value : property.value("enum", plain_json::array())) {
        good.push_back(value);
      }
      if (property.contains("enum")) {
        bad.emplace_back("something else");
      }
      if (property.contains("minimum")) {
        good.push_back(property["minimum"]);
        bad.emplace_back(property["minimum"].get<double>() - 1);
      }
      const bool of_the_model = name == "max_tokens" || name == "max_completion_tokens" ||
                                name == "min_tokens" ||
                                name == "dimensions"; // or of how long an answer may be
      if (property.contains("maximum") && !of_the_model) {
        good.push_back(name == "n" || name == "best_of" ? plain_json(2) : property["maximum"]);
        bad.emplace_back("a text");
      }
      if (property.contains("maximum") && property["maximum"].get<double>() < 1e9) {
        bad.emplace_back(property["maximum"].get<double>() + 1);
      }
      for (const plain_json& value : good) {
        if (name == "deadline_ms" && value == 1) {
          continue; // is taken, and over at once
        }
        const http_answer answer = ask(name, value);
        EXPECT_EQ(answer.status, 200) << path << " " << name << " " << value << answer.body;
      }
      for (const plain_json& value : bad) {
        const http_answer answer = ask(name, value);
        EXPECT_EQ(answer.status, 400) << path << " " << name << " " << value << answer.body;
        expect_described(operation, answer, path);
        EXPECT_EQ(plain_json::parse(answer.body)["error"]["param"], name) << answer.body;
      }
    }
    const http_answer unknown = ask("not_in_the_document", 1);
    EXPECT_EQ(plain_json::parse(unknown.body)["error"]["param"], "not_in_the_document");
  }
}

TEST_F(openapi, every_parameter_of_a_batch_is_taken_or_refused_by_name) {
  const plain_json& operation = document_["paths"]["/v1/batches"]["post"];
  const plain_json& content = operation["requestBody"]["content"]["application/json"];
  plain_json example = content["example"];
  const plain_json& form = document_["paths"]["/v1/files"]["post"]["requestBody"]["content"];
  example["input_file_id"] = plain_json::parse(
      http_upload(port_, form["multipart/form-data"]["example"]["file"].get<std::string>())
          .body)["id"];
  const auto expect = [&](const std::string& name, const plain_json& value, int status) {
    plain_json body = example;
    body[name] = value;
    const http_answer answer = http_ask(port_, "POST", "/v1/batches", body.dump());
    EXPECT_EQ(answer.status, status) << name << value << answer.body;
    expect_described(operation, answer, name);
    if (status != 200) {
      EXPECT_EQ(plain_json::parse(answer.body)["error"]["param"], name) << answer.body;
    }
  };
  for (const auto& [name, property] : resolved(content["schema"])["properties"].items()) {
    for (const plain_json& value : property.value("enum", plain_json::array())) {
      expect(name, value, 200);
    }
    expect(name, 7, 400);
  }
  expect("metadata", plain_json{{"a", "b"}}, 200);
  expect("metadata", nullptr, 200);
  expect("output_expires_after", plain_json{{"anchor", "created_at"}, {"seconds", 3'600}}, 200);
  expect("not_in_the_document", 1, 400);
  expect("input_file_id", "file-0", 404);
  for (const std::string path : {"/v1/files", "/v1/batches"}) {
    const plain_json& list = document_["paths"][path]["get"];
    for (const plain_json& parameter : list["parameters"]) {
      const std::string name = parameter["name"];
      const bool refuses = parameter["schema"].contains("maximum") ||
                           parameter["schema"].contains("enum") || name == "after";
      const http_answer answer = http_ask(port_, "GET", path + "?" + name + "=0");
      EXPECT_EQ(answer.status, refuses ? 400 : 200) << path << name;
      expect_described(list, answer, path);
      for (const plain_json& value : parameter["schema"].value("enum", plain_json::array())) {
        const http_answer taken =
            http_ask(port_, "GET", path + "?" + name + "=" + value.get<std::string>());
        EXPECT_EQ(taken.status, 200) << taken.body;
      }
    }
    EXPECT_EQ(http_ask(port_, "GET", path + "?limit=1").status, 200);
    EXPECT_EQ(http_ask(port_, "GET", path + "?not_in_the_document=1").status, 400);
  }
}

TEST_F(openapi, every_chunk_of_a_stream_is_as_described) {
  const plain_json& chunk = document_["components"]["schemas"]["ChatChunk"];
  const http_answer answer = http_ask(
      port_, "POST", "/v1/chat/completions",
      R"({"model": "embedded", "messages": [{"role": "user", "content": "x"}], "max_tokens": 5,
          "stream": true, "stream_options": {"include_usage": true}})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const auto events = http_events(answer.body);
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    EXPECT_EQ(fault(plain_json::parse(events[i].data), chunk, "chunk"), "") << events[i].data;
  }
  EXPECT_EQ(events.back().data, "[DONE]");
}

} // namespace
} // namespace ovir::test
