#include "tests/swarm/load_trial.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

// Deadlines under load, and what is expected of them (docs/SIMULATION.md).

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr nanoseconds way_to_gateway = 300us;
// Prompts and answers, in tokens.
constexpr std::uint64_t prompt_most = 96;
constexpr std::uint64_t answer_least = 4;
constexpr std::uint64_t answer_most = 40;
// About what a token of each takes where nothing else is computed. Deadlines are these times the
// request's tokens, times a factor: each is as likely as its double.
constexpr double prompt_token_alone = 0.0015;
constexpr double answer_token_alone = 0.006;
constexpr double factor_least = 0.5;
constexpr double factor_most = 16;

// How the rate is found, and kept.
constexpr nanoseconds start_time = 8s;
constexpr double rate_first = 40; // requests a second
constexpr nanoseconds rate_window = 4s;
constexpr std::size_t rate_windows = 25; // before requests count
constexpr double busy_weight = 0.5;      // of the latest window
constexpr double rate_power = 0.5;       // of how much busier nodes are to be

constexpr nanoseconds arrivals_most = 1'200s;

// What must hold.
constexpr double missed_most = 0.01;        // of those accepted
constexpr double refused_soon_least = 0.95; // of those refused
constexpr nanoseconds refused_soon = 10ms;
constexpr double busy_off_most = 0.05; // of all time

constexpr std::size_t failures_shown = 5;

double in_seconds(nanoseconds time) { return std::chrono::duration<double>(time).count(); }

double share(std::size_t part, std::size_t of) {
  return of == 0 ? 0 : static_cast<double>(part) / static_cast<double>(of);
}

/// Of a refusal for a deadline, as people read it.
bool is_refusal(const std::string& message) {
  return message.find("the deadline cannot be met") != std::string::npos;
}

/// "... take up to 0.52 s here ..."
bool names_time(const std::string& message) {
  constexpr std::string_view before = " take ";
  const auto at = message.find(before);
  const auto number = message.find_first_of("0123456789", at);
  return at != std::string::npos && number != std::string::npos &&
         message.find(" s here", number) != std::string::npos &&
         std::stod(message.substr(number)) > 0;
}

} // namespace

class load_request final : public http_client {
public:
  load_request(world& in, chance draws, std::function<void(const load_request&)> over)
      : world_(in), asked_(in.now()), over_(std::move(over)) {
    const std::uint64_t prompt = draws.between(1, prompt_most);
    for (std::uint64_t i = 0; i < prompt; ++i) {
      prompt_.push_back(static_cast<token_id>(draws.between(0, tiny_model::vocabulary - 5)));
    }
    max_tokens_ = draws.between(answer_least, answer_most);
    stream_ = !draws.one_in(5);
    constexpr std::uint64_t parts = 1'000'000;
    const double place = static_cast<double>(draws.below(parts)) / static_cast<double>(parts);
    factor_ = factor_least * std::pow(factor_most / factor_least, place);
    const double alone = static_cast<double>(prompt) * prompt_token_alone +
                         static_cast<double>(max_tokens_) * answer_token_alone;
    deadline_ = std::chrono::ceil<std::chrono::milliseconds>(
        std::chrono::duration<double>{alone * factor_});
  }

  [[nodiscard]] gateway::http_request request(const std::string& host) const {
    gateway::http_request r;
    r.method = "POST";
    r.path = "/v1/completions";
    r.fields["host"] = host;
    r.fields["content-type"] = "application/json";
    r.body = json{{"model", "tiny"},  {"prompt", prompt_}, {"max_tokens", max_tokens_},
                  {"temperature", 0}, {"stream", stream_}, {"deadline_ms", deadline_.count()}}
                 .dump();
    return r;
  }

  void on_head(int status, const gateway::http_reply& /*head*/) override { status_ = status; }
  void on_piece(const std::string& bytes) override { body_ += bytes; }
  void on_lost() override { end(load_fate::failed, "the connection was lost"); }
  void on_end() override {
    constexpr std::string_view error_event = "data: {\"error\"";
    const std::size_t failed = status_ == 200 ? body_.find(error_event) : 0;
    if (failed == std::string::npos && (!stream_ || body_.find("[DONE]") != std::string::npos)) {
      return end(took() <= deadline_ ? load_fate::met : load_fate::missed, {});
    }
    const std::size_t begin = body_.find('{', std::min(failed, body_.size()));
    const json said =
        begin == std::string::npos
            ? json{}
            : json::parse(body_.substr(begin, body_.find('\n', begin) - begin), nullptr, false);
    const std::string why = said.is_object() && said.contains("error")
                                ? said["error"].value("message", "")
                                : "the answer has no end";
    if (is_refusal(why)) {
      end(load_fate::refused, why);
    } else {
      end(took() >= deadline_ ? load_fate::missed : load_fate::failed,
          fmt::format("{} {}", status_, why));
    }
  }

  [[nodiscard]] load_fate fate() const noexcept { return fate_; }
  [[nodiscard]] const std::string& why() const noexcept { return why_; }
  [[nodiscard]] double factor() const noexcept { return factor_; }
  [[nodiscard]] nanoseconds took() const { return world_.now() - asked_; }
  [[nodiscard]] std::string line() const {
    constexpr std::array fates{"under way", "refused", "met", "MISSED", "failed"};
    return fmt::format("{:10.6f} {} {} {} factor {:.2f} deadline {} ms took {:.1f} ms {}",
                       in_seconds(asked_), fates.at(static_cast<std::size_t>(fate_)),
                       prompt_.size(), max_tokens_, factor_, deadline_.count(),
                       in_seconds(took()) * 1'000, why_);
  }

private:
  void end(load_fate how, std::string why) {
    if (fate_ == load_fate::under_way) {
      fate_ = how;
      why_ = std::move(why);
      std::exchange(over_, {})(*this);
    }
  }

  world& world_;
  nanoseconds asked_;
  std::function<void(const load_request&)> over_;
  std::vector<token_id> prompt_;
  std::uint64_t max_tokens_{1};
  bool stream_{true};
  double factor_{1};
  std::chrono::milliseconds deadline_{0};
  int status_{0};
  std::string body_;
  load_fate fate_{load_fate::under_way};
  std::string why_;
};

namespace {

plan swarm_plan(const load_plan& from) {
  plan p;
  p.seed = from.seed;
  p.how.requests = 0;
  p.how.faults = 0;
  p.how.ledger = from.ledger;
  p.how.audits = from.audits;
  p.how.counted = true;
  return p;
}

} // namespace

load_trial::load_trial(const load_plan& plan, tiny_model& model,
                       std::function<void(const std::string&)> says)
    : plan_(plan), swarm_(swarm_plan(plan), model, {}), says_(std::move(says)),
      draws_(chance{plan.seed}.split(0x10ad)), rate_(rate_first) {
  report_.classes = {{"below 1", 1}, {"1 to 2", 2}, {"2 to 4", 4}, {"above 4", factor_most}};
}

void load_trial::mark() {
  marked_ = swarm_.in().now();
  computed_.clear();
  for (const auto& h : swarm_.hosts()) {
    computed_.push_back(h->time_computed());
  }
}

std::vector<double> load_trial::busy_since_mark() {
  std::vector<double> busy;
  for (std::size_t i = 0; i < computed_.size(); ++i) {
    busy.push_back(in_seconds(swarm_.hosts()[i]->time_computed() - computed_[i]) /
                   in_seconds(swarm_.in().now() - marked_));
  }
  return busy;
}

void load_trial::ask() {
  const std::string& to = swarm_.gateways()[draws_.below(swarm_.gateways().size())];
  const auto one = std::make_shared<load_request>(swarm_.in(), draws_.split(asked_),
                                                  [this, counts = counts_](const load_request& r) {
                                                    --open_;
                                                    if (counts) {
                                                      count(r);
                                                    }
                                                    if (says_) {
                                                      says_(r.line());
                                                    }
                                                  });
  ++asked_;
  ++open_;
  swarm_.in().in(way_to_gateway, [this, one, to] {
    const auto there = swarm_.doors().find(to);
    if (there == swarm_.doors().end()) {
      return one->on_lost();
    }
    static_cast<void>(there->second->take(one->request(to), one, way_to_gateway));
  });
}

/// One after another, with gaps as of independent clients.
void load_trial::arrive() {
  constexpr std::uint64_t parts = std::uint64_t{1} << 53U;
  const double place =
      (static_cast<double>(draws_.below(parts)) + 1) / static_cast<double>(parts); // above 0
  const std::chrono::duration<double> gap{-std::log(place) / rate_};
  swarm_.in().in(std::chrono::duration_cast<nanoseconds>(gap), [this] {
    if (comes_) {
      ask();
      arrive();
    }
  });
}

/// So that the busiest node is as busy as it is to be: of late, and since requests count.
void load_trial::follow_rate() {
  std::vector<nanoseconds> before;
  for (const auto& h : swarm_.hosts()) {
    before.push_back(h->time_computed());
  }
  swarm_.in().in(rate_window, [this, before = std::move(before)] {
    of_late_.resize(before.size(), plan_.percent / 100);
    for (std::size_t i = 0; i < before.size(); ++i) {
      const double latest =
          in_seconds(swarm_.hosts()[i]->time_computed() - before[i]) / in_seconds(rate_window);
      of_late_[i] += busy_weight * (latest - of_late_[i]);
    }
    const std::vector<double> busy = counts_ ? busy_since_mark() : of_late_;
    const double most = *std::max_element(busy.begin(), busy.end());
    rate_ *= std::pow(plan_.percent / 100 / most, rate_power);
    if (says_) {
      says_(fmt::format("busy {:.2f}: {:.1f} requests a second", most, rate_));
    }
    if (comes_) {
      follow_rate();
    }
  });
}

void load_trial::count(const load_request& one) {
  load_class& c = *std::find_if(report_.classes.begin(), report_.classes.end() - 1,
                                [&](const load_class& kind) { return one.factor() < kind.most; });
  switch (one.fate()) {
  case load_fate::refused:
    ++c.refused;
    report_.named += names_time(one.why()) ? 1 : 0;
    report_.refusals.push_back(one.took());
    break;
  case load_fate::met: ++c.met; break;
  case load_fate::missed: ++c.missed; break;
  default:
    ++report_.failed;
    if (report_.failures.size() < failures_shown) {
      report_.failures.push_back(one.line());
    }
    break;
  }
}

load_report load_trial::run() {
  swarm_.begin();
  static_cast<void>(swarm_.go([] { return false; }, start_time));
  comes_ = true;
  mark();
  arrive();
  follow_rate();
  static_cast<void>(
      swarm_.go([] { return false; }, start_time + rate_window * static_cast<int>(rate_windows)));
  counts_ = true;
  mark();
  const std::size_t before = asked_;
  static_cast<void>(swarm_.go([this] { return report_.all().accepted() >= plan_.accepted; },
                              swarm_.in().now() + arrivals_most));
  report_.seconds = in_seconds(swarm_.in().now() - marked_);
  report_.busy = busy_since_mark();
  report_.rate = static_cast<double>(asked_ - before) / report_.seconds;
  comes_ = false;
  static_cast<void>(swarm_.go([this] { return open_ == 0; }, swarm_.in().now() + request_bound));
  expect(open_ == 0, fmt::format("{} requests have no end", open_));
  std::sort(report_.refusals.begin(), report_.refusals.end());
  report_.rest = swarm_.end();
  judge();
  return std::move(report_);
}

void load_trial::expect(bool right, std::string what) {
  if (!right) {
    report_.violations.push_back(std::move(what));
  }
}

void load_trial::judge() {
  const load_class all = report_.all();
  expect(all.accepted() >= plan_.accepted,
         fmt::format("{} requests were accepted, not {}", all.accepted(), plan_.accepted));
  expect(
      share(all.missed, all.accepted()) <= missed_most,
      fmt::format("{} of {} accepted requests missed their deadlines", all.missed, all.accepted()));
  expect(report_.refused_in(refused_soon) >= refused_soon_least,
         fmt::format("{:.1f} % of the refusals came within {} ms",
                     100 * report_.refused_in(refused_soon), refused_soon / 1ms));
  expect(share(report_.named, all.refused) >= refused_soon_least,
         fmt::format("{} of {} refusals name the predicted time", report_.named, all.refused));
  expect(report_.failed == 0, fmt::format("{} requests failed", report_.failed));
  expect(std::abs(report_.busiest() - plan_.percent / 100) <= busy_off_most,
         fmt::format("the busiest node computes {:.0f} % of the time, not {:.0f} %",
                     100 * report_.busiest(), plan_.percent));
  for (const std::string& one : report_.rest.violations) {
    report_.violations.push_back(one);
  }
}

load_class load_report::all() const {
  load_class sum{"all"};
  for (const load_class& c : classes) {
    sum.refused += c.refused;
    sum.met += c.met;
    sum.missed += c.missed;
  }
  return sum;
}

double load_report::busiest() const {
  return busy.empty() ? 0 : *std::max_element(busy.begin(), busy.end());
}

double load_report::refused_in(nanoseconds time) const {
  const auto later = std::upper_bound(refusals.begin(), refusals.end(), time);
  return refusals.empty()
             ? 1
             : share(static_cast<std::size_t>(later - refusals.begin()), refusals.size());
}

std::string to_text(const load_plan& plan, const load_report& report) {
  std::string out = "deadline / alone   asked  refused  accepted  missed\n";
  std::vector<load_class> rows = report.classes;
  rows.push_back(report.all());
  for (const load_class& c : rows) {
    out += fmt::format("{:16} {:7} {:8} {:9} {:7}  {:.2f} %\n", c.name, c.refused + c.accepted(),
                       c.refused, c.accepted(), c.missed, 100 * share(c.missed, c.accepted()));
  }
  const auto at = [&](std::size_t percent) {
    const std::size_t n = report.refusals.size();
    return n == 0 ? 0.0 : in_seconds(report.refusals[(n - 1) * percent / 100]) * 1'000;
  };
  out += fmt::format("refusals: half within {:.1f} ms, 95 % within {:.1f} ms, {:.1f} % within {} "
                     "ms; {} of {} name the predicted time\n",
                     at(50), at(95), 100 * report.refused_in(refused_soon), refused_soon / 1ms,
                     report.named, report.all().refused);
  out += "share of the time computed by each node:";
  for (const double busy : report.busy) {
    out += fmt::format(" {:.1f} %", 100 * busy);
  }
  out += fmt::format("\nload {:.0f} seed {} {}: {:.1f} requests a second for {:.0f} s, {} turns, "
                     "digest {:016x}\n",
                     plan.percent, plan.seed, report.violations.empty() ? "holds" : "FAILS",
                     report.rate, report.seconds, report.rest.turns, report.rest.trace);
  for (const std::string& line : report.violations) {
    out += "  " + line + "\n";
  }
  for (const std::string& line : report.failures) {
    out += "  " + line + "\n";
  }
  return out;
}

} // namespace ovir::swarm
