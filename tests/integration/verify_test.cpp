// `ovir run --transcript` and the auditor: what is equal passes, and every change is found and
// named.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;
using ::testing::HasSubstr;

class verify : public ::testing::Test {
protected:
  void SetUp() override {
    const plain_json run = ovir_json({"run", "-p", "Once upon a time", "-n", "40", "--stages", "3",
                                      "--temp", "0.8", "--seed", "11", "--transcript", file()});
    root_ = run["transcript"];
    document_ = plain_json::parse(read_file(file()));
  }

  [[nodiscard]] std::string file() const { return folder_.path() / "transcript.json"; }
  [[nodiscard]] static std::string model() { return source_file("assets/tales-q4_k_m.gguf"); }

  child_result check(const plain_json& changed, bool replay) {
    write_file(file(), changed.dump());
    std::vector<std::string> arguments{file(), "--json"};
    if (replay) {
      arguments.insert(arguments.end(), {"--model", model()});
    }
    return run_ovir_verify(arguments);
  }

  // A transcript whose root fits its content, as a liar would write it.
  [[nodiscard]] plain_json with_matching_root(plain_json changed) {
    const plain_json report = document_of(check(changed, false));
    const std::string what = report["failures"][0]["what"];
    changed["root"] = what.substr(what.size() - 64);
    EXPECT_EQ(check(changed, false).exit_code, 0);
    return changed;
  }

  temporary_folder folder_;
  std::string root_;
  plain_json document_;
};

TEST_F(verify, finds_an_honest_transcript_equal) {
  EXPECT_EQ(document_["root"], root_);
  const child_result plain = run_ovir_verify({file()});
  EXPECT_EQ(plain.exit_code, 0);
  EXPECT_THAT(plain.out, HasSubstr(root_));
  const plain_json report = document_of(check(document_, false));
  EXPECT_EQ(report["ok"], true);
  EXPECT_EQ(report["tier"], "T0");
  EXPECT_EQ(report["failures"], plain_json::array());
  const plain_json replayed = document_of(check(document_, true));
  EXPECT_EQ(replayed["ok"], true);
  EXPECT_EQ(replayed["tier"], "T2");
}

TEST_F(verify, draws_by_the_penalties_biases_and_least_length_that_are_stated) {
  static_cast<void>(ovir_json({"run",
                               "-p",
                               "Once upon a time",
                               "-n",
                               "24",
                               "--temp",
                               "0.8",
                               "--seed",
                               "11",
                               "--presence-penalty",
                               "-0.5",
                               "--frequency-penalty",
                               "0.75",
                               "--min-tokens",
                               "20",
                               "--logit-bias",
                               "31=4.5",
                               "--logit-bias",
                               "7=-100",
                               "--transcript",
                               file()}));
  const plain_json stated = plain_json::parse(read_file(file()));
  EXPECT_EQ(stated["sampling"]["logit_bias"], plain_json::parse("[[7, -100.0], [31, 4.5]]"));
  EXPECT_EQ(stated["sampling"]["min_tokens"], 20);
  EXPECT_EQ(document_of(check(stated, true))["ok"], true);
  const auto refuted = [&](const std::string& field, const plain_json& value) {
    plain_json changed = stated;
    changed["sampling"][field] = value;
    return check(changed, true).exit_code == 1;
  };
  EXPECT_TRUE(refuted("frequency_penalty", 2.0));
  EXPECT_TRUE(refuted("logit_bias", plain_json::parse("[[7, -100.0], [31, 60.0]]")));
  EXPECT_TRUE(refuted("presence_penalty", 2.0));
  plain_json wrong = stated;
  wrong["sampling"]["logit_bias"] = plain_json::parse("[[7, 101.0]]");
  EXPECT_EQ(check(wrong, false).exit_code, 3);
}

TEST_F(verify, finds_every_kind_of_change_without_the_model) {
  const auto expect_failure = [&](const plain_json& changed) {
    const child_result child = check(changed, false);
    EXPECT_EQ(child.exit_code, 1) << child.out << child.err;
    const plain_json report = document_of(child);
    EXPECT_EQ(report["ok"], false);
    EXPECT_EQ(report["failures"].size(), 1U);
    EXPECT_TRUE(report["failures"][0]["signer"].is_null());
  };
  const std::string other(64, 'a');
  plain_json changed = document_;
  changed["root"] = other;
  expect_failure(changed);
  changed = document_;
  changed["units"][3]["boundary"] = other;
  expect_failure(changed);
  changed = document_;
  changed["units"].erase(2);
  expect_failure(changed);
  changed = document_;
  changed["units"][1]["positions"] = 31;
  expect_failure(changed);
  changed = document_;
  changed["logits"][7]["digest"] = other;
  expect_failure(changed);
  changed = document_;
  changed["logits"].erase(7);
  expect_failure(changed);
  changed = document_;
  changed["output"][5] = 17;
  expect_failure(changed);
  changed = document_;
  changed["output"].erase(39);
  expect_failure(changed);
  changed = document_;
  changed["positions"] = 44;
  expect_failure(changed);
}

TEST_F(verify, names_the_first_unit_that_differs_from_the_model) {
  plain_json changed = document_;
  changed["units"][4]["boundary"] = std::string(64, 'b');
  const plain_json report = document_of(check(with_matching_root(changed), true));
  EXPECT_EQ(report["ok"], false);
  EXPECT_EQ(report["failures"][0]["unit"]["window"], changed["units"][4]["window"]);
  EXPECT_EQ(report["failures"][0]["unit"]["layer"], changed["units"][4]["layer"]);
}

TEST_F(verify, names_the_logits_that_differ_from_the_model) {
  plain_json changed = document_;
  changed["logits"][9]["digest"] = std::string(64, 'c');
  const plain_json report = document_of(check(with_matching_root(changed), true));
  EXPECT_EQ(report["failures"][0]["unit"]["position"], changed["logits"][9]["position"]);
}

TEST_F(verify, finds_a_token_that_was_not_the_one_drawn) {
  // The last token is fed to nothing, so only the draw can show that it was changed.
  plain_json changed = document_;
  changed["output"][39] = changed["output"][39].get<int>() + 1;
  const child_result child = check(with_matching_root(changed), true);
  EXPECT_EQ(child.exit_code, 1);
  EXPECT_THAT(child.out, HasSubstr("the sampling parameters give"));
  changed = document_;
  changed["sampling"]["seed"] = 12;
  EXPECT_EQ(check(changed, true).exit_code, 1);
}

TEST_F(verify, notices_another_model) {
  const child_result child =
      run_ovir_verify({file(), "--model", source_file("assets/tales-q8_0.gguf"), "--json"});
  EXPECT_EQ(child.exit_code, 1);
  EXPECT_THAT(document_of(child)["failures"][0]["what"].get<std::string>(),
              HasSubstr("the transcript was made with model file"));
}

TEST_F(verify, refuses_hostile_files_with_a_sentence) {
  const auto expect_refusal = [&](const std::string& content, const std::string& what) {
    write_file(file(), content);
    const child_result child = run_ovir_verify({file()});
    EXPECT_EQ(child.exit_code, 3) << child.out;
    EXPECT_TRUE(is_one_line(child.err)) << child.err;
    EXPECT_THAT(child.err, HasSubstr(what));
  };
  expect_refusal("", "is not JSON");
  expect_refusal("{", "is not JSON");
  expect_refusal("[1]", "is not an object");
  expect_refusal(std::string(1'000'000, '['), "nested deeper");
  expect_refusal(std::string(34U << 20U, ' '), "has at most");
  const auto with = [&](const std::string& key, const plain_json& value) {
    plain_json changed = document_;
    changed[key] = value;
    return changed.dump();
  };
  expect_refusal(with("version", 2), "version 2");
  expect_refusal(with("format", "other"), "\"format\"");
  expect_refusal(with("profile", "fast"), "profile");
  expect_refusal(with("prompt", {-1}), "\"prompt\"");
  expect_refusal(with("output", "x"), "\"output\"");
  expect_refusal(with("hashed_layers", 1e9), "\"hashed_layers\"");
  expect_refusal(with("positions", -1), "\"positions\"");
  expect_refusal(with("units", {{{"window", 0}}}), "unit 0");
  expect_refusal(with("root", "abc"), "\"root\"");
  expect_refusal(with("sampling", plain_json::object()), "\"sampling\"");
  plain_json senseless = document_["sampling"];
  senseless["top_p"] = 0;
  expect_refusal(with("sampling", senseless), "\"sampling\": top_p is 0");
  expect_refusal(with("finish_reason", "bored"), "\"finish_reason\"");
  for (const auto& [key, value] : document_.items()) {
    plain_json changed = document_;
    changed.erase(key);
    expect_refusal(changed.dump(), key);
  }
}

TEST_F(verify, tells_usage_from_missing_files) {
  EXPECT_EQ(run_ovir_verify({}).exit_code, 2);
  EXPECT_EQ(run_ovir_verify({file(), "--threads", "0"}).exit_code, 2);
  EXPECT_EQ(run_ovir_verify({"/no/such/file"}).exit_code, 3);
  EXPECT_EQ(run_ovir_verify({folder_.path()}).exit_code, 3);
  EXPECT_EQ(run_ovir_verify({file(), "--model", "/no/such/model"}).exit_code, 3);
}

} // namespace
} // namespace ovir::test
