// Files and batches over the endpoint: whose they are, what lasts, and what is asked again.
#include "gateway/batches/batch_desk.hpp"
#include "gateway/http/bounded_json.hpp"
#include "messages/limits/batches.hpp"
#include "tests/unit/gateway/made_up_endpoint.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

namespace ovir::gateway {
namespace {

using testing::HasSubstr;

/// The endpoint, which is made after the desk.
struct late_asker final : api_asker {
  ask_start ask(std::string_view key_id, http_request request,
                const std::shared_ptr<http_exchange>& exchange, bool may_run) override {
    asked.push_back(std::string{request.field("x-ovir-request")});
    return to->ask(key_id, std::move(request), exchange, may_run);
  }
  void give_up(std::string_view key_id, request_id id) override { to->give_up(key_id, id); }
  http_reply counted(http_reply reply) override { return to->counted(std::move(reply)); }

  application* to{nullptr};
  std::vector<std::string> asked;
};

class batches : public endpoint {
protected:
  batches() { live(); }

  /// The node, as it begins over what is on the disk.
  void live() {
    app_.reset();
    desk_.reset();
    cluster_.started.clear();
    annex_ = nullptr;
    const api_surroundings around = surroundings();
    desk_ = std::make_unique<batch_desk>(around, asker_, *env_, folder_.path().string(),
                                         around.elsewhere, 2);
    annex_ = desk_.get();
    options_.keys_needed = true;
    restart(options_);
    asker_.to = &*app_;
    asker_.asked.clear();
    ASSERT_TRUE(desk_->open());
    use_keys();
    app_->tick();
  }
  void use_keys(bool revoked = false) {
    known_keys keys;
    for (const std::string name : {"ann", "bob"}) {
      api_key key;
      key.name = name;
      std::array<std::byte, 32> secret{};
      secret[0] = std::byte{name == "ann" ? std::uint8_t{1} : std::uint8_t{2}};
      texts_[name] = keys.table.add(key, secret, keys.with).value();
    }
    if (revoked) {
      ASSERT_TRUE(keys.table.revoke("ann", 1));
    }
    app_->use_keys(keys);
  }

  std::shared_ptr<made_up_exchange> call(const std::string& method, const std::string& target,
                                         const std::string& body = "",
                                         const std::string& who = "ann") {
    http_request request;
    request.method = method;
    request.path = target.substr(0, target.find('?'));
    request.query = request.path == target ? "" : target.substr(request.path.size() + 1);
    request.fields["authorization"] = "Bearer " + texts_.at(who);
    request.fields["content-type"] =
        body.starts_with("--") ? "multipart/form-data; boundary=b" : "application/json";
    request.body = body;
    auto exchange = std::make_shared<made_up_exchange>();
    app_->serve(std::move(request), exchange);
    return exchange;
  }
  json told(const std::string& method, const std::string& target, const std::string& body = "",
            const std::string& who = "ann") {
    const auto exchange = call(method, target, body, who);
    EXPECT_EQ(exchange->head.status, 200) << target << exchange->head.body;
    return json::parse(exchange->head.body);
  }
  std::string code(const std::string& method, const std::string& target,
                   const std::string& body = "", const std::string& who = "ann") {
    const auto exchange = call(method, target, body, who);
    return fmt::format("{} {}", exchange->head.status,
                       json::parse(exchange->head.body)["error"]["code"].get<std::string>());
  }

  static std::string form(const std::string& content, const std::string& more = "") {
    return "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n" + more +
           "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\r\n" +
           content + "\r\n--b--\r\n";
  }
  static std::string field(const std::string& name, const std::string& value) {
    return fmt::format("--b\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n{}\r\n", name,
                       value);
  }
  static std::string lines(std::uint32_t count) {
    std::string text;
    for (std::uint32_t i = 0; i < count; ++i) {
      const json one{{"custom_id", fmt::format("line {}", i)},
                     {"method", "POST"},
                     {"url", "/v1/completions"},
                     {"body", {{"model", "m"}, {"prompt", fmt::format("Once {}", i)}}}};
      text += one.dump() + "\n";
    }
    return text;
  }
  std::string uploaded(const std::string& content, const std::string& who = "ann") {
    return told("POST", "/v1/files", form(content), who)["id"];
  }
  static std::string order(const std::string& file, const std::string& more = "") {
    return fmt::format(R"({{"input_file_id": "{}", "endpoint": "/v1/completions",
                           "completion_window": "24h"{}}})",
                       file, more);
  }
  std::string begun(std::uint32_t count) {
    return told("POST", "/v1/batches", order(uploaded(lines(count))))["id"];
  }
  json batch(const std::string& id) { return told("GET", "/v1/batches/" + id); }
  /// Ends the `i`th of the orders begun so far.
  void answer(std::size_t i) {
    app_->calls().on_end(cluster_.started.at(i).tag, outcome(fmt::format("answer {}", i), 1));
  }
  std::vector<json> content(const json& file) {
    const std::string text =
        call("GET", "/v1/files/" + file.get<std::string>() + "/content")->head.body;
    std::vector<json> all;
    std::istringstream in{text};
    for (std::string one; std::getline(in, one);) {
      all.push_back(json::parse(one));
    }
    return all;
  }
  void pass(std::chrono::seconds time) {
    now_ += time;
    seconds_ += static_cast<std::uint64_t>(time.count());
    app_->tick();
  }

  test::temporary_folder folder_;
  std::unique_ptr<storage::env> env_{storage::make_env_posix()};
  late_asker asker_;
  api_options options_;
  std::map<std::string, std::string> texts_; ///< of keys, by name
  std::unique_ptr<batch_desk> desk_;
};

TEST_F(batches, keep_a_file_for_its_key_alone_and_over_restarts) {
  const std::string content_of = lines(3);
  const json file = told("POST", "/v1/files", form(content_of));
  EXPECT_EQ(file["bytes"], content_of.size());
  EXPECT_EQ(file["filename"], "in.jsonl");
  EXPECT_EQ(file["purpose"], "batch");
  EXPECT_EQ(file["expires_at"], 1'000'000 + limits::file_life_most);
  const std::string path = "/v1/files/" + file["id"].get<std::string>();
  for (int life = 0; life < 2; ++life) {
    EXPECT_EQ(told("GET", path), file);
    EXPECT_EQ(call("GET", path + "/content")->head.body, content_of);
    EXPECT_EQ(told("GET", "/v1/files")["data"][0], file);
    EXPECT_EQ(told("GET", "/v1/files", "", "bob")["data"].size(), 0U);
    for (const std::string& target : {path, path + "/content"}) {
      EXPECT_EQ(code("GET", target, "", "bob"), "404 unknown_file");
    }
    EXPECT_EQ(code("DELETE", path, "", "bob"), "404 unknown_file");
    EXPECT_EQ(code("POST", "/v1/batches", order(file["id"]), "bob"), "404 unknown_file");
    live();
  }
  EXPECT_EQ(told("DELETE", path)["deleted"], true);
  live();
  EXPECT_EQ(code("GET", path), "404 unknown_file");
  EXPECT_EQ(std::filesystem::is_empty(folder_.path()), true);
}

TEST_F(batches, tell_a_large_file_in_pieces) {
  std::string large;
  while (large.size() < 3 * limits::file_piece_bytes) {
    large += lines(50);
  }
  const auto told_whole = call("GET", "/v1/files/" + uploaded(large) + "/content");
  EXPECT_TRUE(told_whole->ended);
  EXPECT_TRUE(told_whole->head.body == large);
}

TEST_F(batches, refuse_forms_that_are_no_upload) {
  const std::string good = form(lines(1));
  EXPECT_EQ(code("POST", "/v1/files", field("purpose", "batch") + "--b--"), "400 invalid_value");
  EXPECT_EQ(
      code("POST", "/v1/files", field("purpose", "fine-tune") + good.substr(good.find("--b", 5))),
      "400 unsupported_parameter");
  EXPECT_EQ(code("POST", "/v1/files", form(lines(1), field("colour", "red"))),
            "400 unknown_parameter");
  EXPECT_EQ(code("POST", "/v1/files", form(lines(1), field("purpose", "batch"))),
            "400 invalid_value");
  EXPECT_EQ(code("POST", "/v1/files", form("")), "400 invalid_value");
  EXPECT_EQ(code("POST", "/v1/files", "--b\r\n"), "400 malformed");
  EXPECT_EQ(code("POST", "/v1/files", "{}"), "415 unsupported_media_type");
  const std::string anchor = field("expires_after[anchor]", "created_at");
  for (const std::string seconds : {"3599", "2592001", "x", "-1", ""}) {
    EXPECT_EQ(code("POST", "/v1/files",
                   form(lines(1), anchor + field("expires_after[seconds]", seconds))),
              "400 invalid_value")
        << seconds;
  }
  EXPECT_EQ(told("POST", "/v1/files",
                 form(lines(1), anchor + field("expires_after[seconds]", "3600")))["expires_at"],
            1'003'600);
  pass(std::chrono::seconds{3'600});
  EXPECT_EQ(told("GET", "/v1/files")["data"].size(), 0U) << "its time is over";
}

TEST_F(batches, ask_their_lines_in_the_time_that_others_leave_and_write_the_answers) {
  const std::string id = begun(3);
  ASSERT_EQ(cluster_.started.size(), 2U) << "two at once";
  EXPECT_TRUE(cluster_.started[0].order.batch);
  EXPECT_FALSE(cluster_.started[0].may_run);
  EXPECT_FALSE(cluster_.started[0].order.owner.empty());
  EXPECT_EQ(batch(id)["status"], "in_progress");
  EXPECT_EQ(batch(id)["request_counts"]["total"], 3);
  answer(1);
  ASSERT_EQ(cluster_.started.size(), 3U);
  EXPECT_EQ(batch(id)["request_counts"]["completed"], 1);
  answer(0);
  app_->calls().on_end(cluster_.started[2].tag, fail(errc::nonfinite, "a NaN"));
  const json over = batch(id);
  EXPECT_EQ(over["status"], "completed") << over;
  EXPECT_EQ(over["completed_at"], 1'000'000);
  EXPECT_EQ(over["request_counts"], (json{{"total", 3}, {"completed", 2}, {"failed", 1}}));
  const auto answers = content(over["output_file_id"]);
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(answers[0]["custom_id"], "line 1");
  EXPECT_EQ(answers[0]["response"]["status_code"], 200);
  EXPECT_EQ(answers[0]["response"]["body"]["choices"][0]["text"], "answer 1");
  const auto errors = content(over["error_file_id"]);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0]["custom_id"], "line 2");
  EXPECT_EQ(errors[0]["response"]["status_code"], 500);
  EXPECT_EQ(told("GET", "/v1/files?purpose=batch_output")["data"].size(), 2U);
  EXPECT_EQ(code("POST", "/v1/batches/" + id + "/cancel"), "409 batch_over");
  live();
  EXPECT_EQ(batch(id), over);
  EXPECT_TRUE(cluster_.started.empty());
}

TEST_F(batches, go_on_after_a_restart_and_ask_no_line_that_is_done) {
  const std::string id = begun(5);
  answer(1);
  answer(0);
  ASSERT_EQ(asker_.asked.size(), 4U);
  const std::vector<std::string> open{asker_.asked[2], asker_.asked[3]};
  live(); // the two under way are lost with the process
  EXPECT_EQ(asker_.asked, open) << "under the same names";
  EXPECT_TRUE(cluster_.started[0].may_run) << "another node may drive it";
  EXPECT_TRUE(cluster_.started[1].may_run);
  EXPECT_EQ(batch(id)["request_counts"]["completed"], 2);
  answer(0);
  ASSERT_EQ(cluster_.started.size(), 3U);
  EXPECT_FALSE(cluster_.started[2].may_run) << "it was never begun";
  answer(1);
  answer(2);
  const json over = batch(id);
  EXPECT_EQ(over["status"], "completed");
  std::set<std::string> names;
  const auto answers = content(over["output_file_id"]);
  EXPECT_EQ(answers.size(), 5U);
  for (const json& one : answers) {
    names.insert(one["custom_id"]);
  }
  EXPECT_EQ(names.size(), 5U) << "each line once";
}

TEST_F(batches, ask_a_line_again_whose_answer_was_torn_by_a_crash) {
  const std::string id = begun(2);
  answer(0);
  const std::string all = [&] {
    for (const auto& entry : std::filesystem::directory_iterator{folder_.path()}) {
      const std::string text = test::read_file(entry.path());
      if (text.starts_with("{\"id\":\"batch_req_")) {
        std::filesystem::resize_file(entry.path(), text.size() - 10);
        return text;
      }
    }
    return std::string{};
  }();
  ASSERT_THAT(all, HasSubstr("line 0"));
  live();
  EXPECT_EQ(cluster_.started.size(), 2U) << "both lines are open";
  answer(0);
  answer(1);
  EXPECT_EQ(content(batch(id)["output_file_id"]).size(), 2U);
}

TEST_F(batches, ask_a_line_later_that_is_refused_for_the_moment) {
  const std::string id = begun(1);
  for (const auto pause :
       {std::chrono::seconds{1}, std::chrono::seconds{2}, std::chrono::seconds{4}}) {
    app_->calls().on_end(cluster_.started.back().tag, fail(errc::segment_missing, "no nodes"));
    const std::size_t before = cluster_.started.size();
    pass(pause - std::chrono::seconds{1});
    EXPECT_EQ(cluster_.started.size(), before) << pause.count();
    pass(std::chrono::seconds{1});
    ASSERT_EQ(cluster_.started.size(), before + 1) << pause.count();
  }
  EXPECT_EQ(batch(id)["request_counts"]["failed"], 0);
  answer(cluster_.started.size() - 1);
  EXPECT_EQ(batch(id)["status"], "completed");
}

TEST_F(batches, wait_until_the_node_knows_its_models) {
  const std::string id = begun(1);
  const auto models = std::exchange(cluster_.list, {});
  cluster_.is_ready = false;
  live();
  pass(std::chrono::seconds{60});
  EXPECT_TRUE(asker_.asked.empty());
  cluster_.is_ready = true; // of another model
  pass(std::chrono::seconds{1});
  EXPECT_EQ(asker_.asked.size(), 1U);
  cluster_.list = models;
  pass(std::chrono::seconds{1});
  ASSERT_EQ(cluster_.started.size(), 1U);
  answer(0);
  EXPECT_EQ(batch(id)["request_counts"]["completed"], 1);
}

TEST_F(batches, say_what_is_wrong_with_their_input) {
  const json failed = batch(told("POST", "/v1/batches", order(uploaded(lines(1) + "{\n")))["id"]);
  EXPECT_EQ(failed["status"], "failed");
  EXPECT_EQ(failed["errors"]["data"][0]["line"], 2);
  EXPECT_EQ(failed["errors"]["data"][0]["code"], "invalid_json_line");
  EXPECT_TRUE(cluster_.started.empty()) << "not a line of it was asked";
  EXPECT_TRUE(failed["output_file_id"].is_null());
}

TEST_F(batches, refuse_orders_by_the_name_of_what_is_wrong) {
  const std::string file = uploaded(lines(1));
  const auto wrong = [&](const std::string& more) {
    const auto refused = call("POST", "/v1/batches", order(file, more));
    EXPECT_EQ(refused->head.status, 400) << refused->head.body;
    return json::parse(refused->head.body)["error"]["param"].get<std::string>();
  };
  EXPECT_EQ(wrong(R"(, "metadata": 7)"), "metadata");
  EXPECT_EQ(wrong(R"(, "metadata": {"a": 7})"), "metadata");
  EXPECT_EQ(wrong(fmt::format(R"(, "metadata": {{"a": "{}"}})", std::string(513, 'x'))),
            "metadata");
  EXPECT_EQ(wrong(R"(, "output_expires_after": {"anchor": "now", "seconds": 3600})"),
            "output_expires_after.anchor");
  EXPECT_EQ(wrong(R"(, "output_expires_after": {"anchor": "created_at", "seconds": 1})"),
            "output_expires_after.seconds");
  EXPECT_EQ(wrong(R"(, "speed": 1)"), "speed");
  for (const auto& [from, to] :
       std::map<std::string, std::string>{{"24h", "1h"}, {"/v1/completions", "/v1/messages"}}) {
    std::string body = order(file);
    body.replace(body.find(from), from.size(), to);
    EXPECT_EQ(call("POST", "/v1/batches", body)->head.status, 400) << to;
  }
  EXPECT_EQ(code("POST", "/v1/batches", order("file-x")), "404 unknown_file");
  EXPECT_EQ(code("POST", "/v1/batches", "["), "400 invalid_json");
}

TEST_F(batches, end_when_they_are_cancelled_and_keep_what_is_done) {
  const std::string id = begun(4);
  answer(0);
  EXPECT_EQ(told("POST", "/v1/batches/" + id + "/cancel")["status"], "cancelling");
  const json over = batch(id);
  EXPECT_EQ(over["status"], "cancelled");
  EXPECT_EQ(over["request_counts"], (json{{"total", 4}, {"completed", 1}, {"failed", 0}}));
  EXPECT_EQ(content(over["output_file_id"]).size(), 1U);
  EXPECT_EQ(cluster_.cancelled.size(), 2U) << "what was under way";
  const std::size_t begun_so_far = cluster_.started.size();
  answer(1);
  pass(std::chrono::seconds{60});
  EXPECT_EQ(cluster_.started.size(), begun_so_far);
  EXPECT_EQ(batch(id), over) << "what comes later is not heard";
}

TEST_F(batches, expire_and_say_so_of_each_line_that_is_left) {
  const std::string id = begun(4);
  answer(0);
  seconds_ += limits::batch_window;
  app_->tick();
  const json over = batch(id);
  EXPECT_EQ(over["status"], "expired");
  EXPECT_EQ(over["request_counts"], (json{{"total", 4}, {"completed", 1}, {"failed", 3}}));
  const auto errors = content(over["error_file_id"]);
  ASSERT_EQ(errors.size(), 3U);
  EXPECT_EQ(errors[0]["error"]["code"], "batch_expired");
  EXPECT_EQ(errors[2]["custom_id"], "line 3");
}

TEST_F(batches, end_with_their_key) {
  const std::string id = begun(4);
  use_keys(true);
  answer(0);
  use_keys();
  const json over = batch(id);
  EXPECT_EQ(over["status"], "cancelled") << over;
  EXPECT_EQ(over["errors"]["data"][0]["code"], "invalid_api_key");
}

TEST_F(batches, share_the_places_for_lines) {
  const std::string long_one = begun(50);
  const std::string short_one = begun(1);
  ASSERT_EQ(cluster_.started.size(), 2U) << "both are the first batch's";
  answer(0);
  ASSERT_EQ(cluster_.started.size(), 3U);
  answer(2);
  EXPECT_EQ(batch(short_one)["status"], "completed") << "it did not wait for all others";
  EXPECT_EQ(batch(long_one)["status"], "in_progress");
}

TEST_F(batches, are_no_more_than_there_may_be) {
  const std::string file = uploaded(lines(1));
  for (std::size_t i = 0; i < limits::batches_open_per_key_max; ++i) {
    told("POST", "/v1/batches", order(file));
  }
  EXPECT_EQ(code("POST", "/v1/batches", order(file)), "429 batch_quota");
  EXPECT_EQ(code("DELETE", "/v1/files/" + file), "409 file_in_use");
  const std::string other = uploaded(lines(1), "bob");
  EXPECT_EQ(told("POST", "/v1/batches", order(other), "bob")["object"], "batch");
}

TEST_F(batches, are_listed_in_pages) {
  const std::string file = uploaded(lines(1));
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    ++seconds_;
    ids.push_back(told("POST", "/v1/batches", order(file))["id"]);
  }
  const json first = told("GET", "/v1/batches?limit=2");
  EXPECT_EQ(first["data"][0]["id"], ids[4]);
  EXPECT_EQ(first["has_more"], true);
  const json second = told("GET", "/v1/batches?limit=3&after=" + ids[3]);
  EXPECT_EQ(second["data"][0]["id"], ids[2]);
  EXPECT_EQ(second["last_id"], ids[0]);
  EXPECT_EQ(second["has_more"], false);
  EXPECT_EQ(code("GET", "/v1/batches?limit=0"), "400 invalid_value");
  EXPECT_EQ(code("GET", "/v1/batches?limit=101"), "400 invalid_value");
  EXPECT_EQ(code("GET", "/v1/batches?after=x"), "400 invalid_value");
  EXPECT_EQ(code("GET", "/v1/batches?colour=red"), "400 invalid_value");
  EXPECT_EQ(told("GET", "/v1/batches", "", "bob")["data"].size(), 0U);
  EXPECT_EQ(code("GET", "/v1/batches/" + ids[0], "", "bob"), "404 unknown_batch");
  EXPECT_EQ(code("POST", "/v1/batches/" + ids[0] + "/cancel", "", "bob"), "404 unknown_batch");
}

TEST_F(batches, leave_damaged_records_aside_and_begin_all_the_same) {
  const std::string file = uploaded(lines(1));
  std::ofstream{folder_.path() / (file + ".file"), std::ios::app} << "x";
  std::ofstream{folder_.path() / "batch_x.batch"} << "x";
  live();
  EXPECT_EQ(code("GET", "/v1/files/" + file), "404 unknown_file");
  EXPECT_THAT(log_, HasSubstr("it is left aside"));
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / (file + ".bytes"))) << "for people";
}

} // namespace
} // namespace ovir::gateway
