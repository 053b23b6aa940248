#pragma once

#include "gateway/api/application.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// The endpoint with a cluster and connections that are made up, and a clock that a test moves.
namespace ovir::gateway {

struct made_up_cluster final : generator {
  void start(std::uint64_t tag, const generation_order& order, bool may_run) override {
    started.push_back({tag, order, may_run});
  }
  void watch(std::uint64_t tag, request_id id, const digest&) override {
    watched.emplace_back(tag, id);
  }
  void forget(std::uint64_t tag) override { forgotten.push_back(tag); }
  void cancel(request_id id, bool asked) override { (asked ? cancelled : left).push_back(id); }
  std::vector<served_model> models() override { return list; }
  void show_budget(const budget_use& use, std::optional<std::uint64_t> from,
                   budget_told done) override {
    budgets.push_back({use, from, std::move(done)});
  }
  bool ready() override { return is_ready; }
  std::string doing() override { return does; }

  struct start_call {
    std::uint64_t tag;
    generation_order order;
    bool may_run;
  };
  struct budget_call {
    budget_use use;
    std::optional<std::uint64_t> from;
    budget_told done;
  };
  std::vector<budget_call> budgets;
  std::vector<start_call> started;
  std::vector<std::pair<std::uint64_t, request_id>> watched;
  std::vector<std::uint64_t> forgotten;
  std::vector<request_id> cancelled;
  std::vector<request_id> left; ///< cancelled because no client waits for them
  std::vector<served_model> list;
  bool is_ready{true};
  std::string does;
};

struct made_up_exchange final : http_exchange {
  void reply(http_reply answer) override {
    head = std::move(answer);
    ended = true;
  }
  void begin_stream(http_reply begun) override { head = std::move(begun); }
  void send(std::string piece) override { head.body += piece; }
  void end_stream() override { ended = true; }
  void when_gone(std::function<void()> gone) override { on_gone = std::move(gone); }

  http_reply head{.status = 0, .content_type = {}, .body = {}};
  bool ended{false};
  std::function<void()> on_gone;
};

/// What a client is told of the first request that names none: the made up chance begins there.
constexpr request_id first_id{0xa1};

class endpoint : public ::testing::Test {
protected:
  endpoint() {
    served_model model;
    model.id.bytes[0] = 1;
    model.name = "m";
    model.context = 64;
    model.vocabulary = compute::tokenizer::make(file_.file()).value();
    cluster_.list.push_back(std::move(model));
    restart({});
  }

  [[nodiscard]] api_surroundings surroundings() {
    api_surroundings around;
    around.engine = &cluster_;
    around.doors = doors_;
    around.now = [this] { return now_; };
    around.unix_seconds = [this] { return seconds_; };
    around.random = [this] { return ++random_; };
    around.elsewhere = [this](const auto& work, const auto& then) {
      if (held_back_) {
        held_back_->push_back([work, then] {
          work();
          then();
        });
        return;
      }
      work();
      then();
    };
    around.check_answer = [this](request_id request, const auto& given) -> result<answer_check> {
      checked_.emplace_back(request, given != nullptr);
      return found_;
    };
    around.addenda_of = [](request_id, const auto&) -> result<std::vector<std::byte>> {
      return std::vector<std::byte>{std::byte{'x'}, std::byte{'y'}};
    };
    around.connections = [] { return 3U; };
    around.say = [this](auto, const std::string& line) { log_ += line + "\n"; };
    around.annex = annex_;
    return around;
  }

  void restart(const api_options& options) { app_.emplace(options, surroundings()); }

  std::shared_ptr<made_up_exchange> ask(const std::string& body, const std::string& path,
                                        std::map<std::string, std::string, std::less<>> fields = {},
                                        const std::string& method = "POST") {
    http_request request;
    request.method = method;
    request.path = path;
    request.fields = std::move(fields);
    request.fields.try_emplace("content-type", "application/json");
    request.body = body;
    auto exchange = std::make_shared<made_up_exchange>();
    app_->serve(std::move(request), exchange);
    return exchange;
  }
  std::shared_ptr<made_up_exchange> complete(const std::string& more = "") {
    return ask(R"({"model": "m", "prompt": "Once")" + more + "}", "/v1/completions");
  }
  static generation_outcome outcome(std::string text, std::uint32_t tokens) {
    return {finish_reason::stop, tokens, std::move(text), {}};
  }
  [[nodiscard]] std::uint64_t tag() const { return cluster_.started.back().tag; }

  std::vector<const api_door*> doors_; ///< of the next `restart`, as the next one
  api_annex* annex_{nullptr};
  test::loaded_model file_{test::source_file("assets/tales-q4_k_m.gguf")};
  made_up_cluster cluster_;
  std::chrono::steady_clock::time_point now_{};
  std::uint64_t seconds_{1'000'000}; ///< since 1970
  std::uint64_t random_{0xa0};
  std::string log_;
  result<answer_check> found_{answer_check{}};
  std::vector<std::pair<request_id, bool>> checked_; ///< and whether the endpoint had its receipt
  std::optional<std::vector<std::function<void()>>> held_back_;
  std::optional<application> app_;
};

} // namespace ovir::gateway
