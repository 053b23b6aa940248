#include <nlohmann/json.hpp>

#include <cstdint>
#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

// Judges what clients asked and were told, one JSON object a line, by the API's contract alone
// (docs/formats/http.md, docs/formats/admin.md). Knows nothing of who wrote the file.

namespace {

using json = nlohmann::json;

/// After a cancellation was confirmed, tokens may still be on their way for so long.
constexpr std::uint64_t under_way_ns = 10'000'000;

struct told_event {
  std::string text;
  std::string finish;
};

struct client {
  std::string terms;     ///< all that the answer depends on
  std::string id;        ///< of its request
  std::uint32_t next{1}; ///< event that comes next, as its id says
  std::map<std::uint32_t, told_event> told;
  std::optional<std::uint64_t> cancelled; ///< confirmed
  bool stream{true};
  bool finished{false};
  bool ended{false};
};

class witness {
public:
  void read(const json& line) {
    const std::string event = line.at("event");
    if (event == "acknowledged") {
      acknowledged_.insert(line.at("entry").get<std::uint64_t>());
      return;
    }
    if (event == "in_log") {
      in_log_.insert(line.at("entry").get<std::uint64_t>());
      return;
    }
    client& c = clients_[line.at("client")];
    if (event == "ask") {
      json terms = line;
      for (const char* const own : {"ns", "client", "event", "id", "stream"}) {
        terms.erase(own);
      }
      c.terms = terms.dump();
      c.id = line.at("id");
      c.stream = line.at("stream");
    } else if (event == "renamed") {
      c.id = line.at("id");
      c.next = 1;
    } else if (event == "told") {
      tell(line, c);
    } else if (event == "cancel_answered") {
      if (line.at("confirmed").get<bool>() && !c.cancelled) {
        c.cancelled = line.at("ns").get<std::uint64_t>();
      }
    } else if (event == "end") {
      check(line, !c.ended, "an answer ended twice");
      check(line, c.finished, "an answer ended without a reason");
      c.ended = true;
    }
  }

  int judge() {
    for (const std::uint64_t entry : acknowledged_) {
      if (!in_log_.contains(entry)) {
        complain("a payment that was acknowledged as entry " + std::to_string(entry) +
                 " is not in the log");
      }
    }
    std::cout << clients_.size() << " clients, " << acknowledged_.size() << " payments, "
              << complaints_ << " violations\n";
    return complaints_ == 0 ? 0 : 1;
  }

private:
  void tell(const json& line, client& c) {
    check(line, !c.finished, "something was told after the end");
    check(line,
          !c.cancelled || line.at("ns").get<std::uint64_t>() <= *c.cancelled + under_way_ns ||
              line.at("finish") == "cancelled",
          "an answer went on after its cancellation was confirmed");
    const told_event now{line.at("text"), line.at("finish")};
    c.finished = !now.finish.empty();
    if (!c.stream) {
      whole(line, c, now);
      return;
    }
    const std::string place = line.at("place");
    const auto colon = place.find(':');
    check(line, place.substr(0, colon) == c.id, "an event has the id of another request");
    const auto index = static_cast<std::uint32_t>(std::stoul(place.substr(colon + 1)));
    check(line, index == c.next, index < c.next ? "a token was told twice" : "a token is missing");
    c.next = index + 1;
    if (now.finish != "cancelled") {
      same(line, events_[c.terms].try_emplace(index, now).first->second, now);
    }
  }

  void whole(const json& line, const client& c, const told_event& now) {
    if (now.finish != "cancelled") {
      same(line, answers_.try_emplace(c.terms, now).first->second, now);
    }
  }

  void same(const json& line, const told_event& first, const told_event& now) {
    check(line, first.text == now.text && first.finish == now.finish,
          "the same request was answered in two ways");
  }
  void check(const json& line, bool holds, const std::string& otherwise) {
    if (!holds) {
      complain(otherwise + ": " + line.dump());
    }
  }
  void complain(const std::string& what) {
    ++complaints_;
    std::cout << what << "\n";
  }

  std::map<std::size_t, client> clients_;
  std::map<std::string, std::map<std::uint32_t, told_event>> events_; ///< by terms and place
  std::map<std::string, told_event> answers_;                         ///< that came whole
  std::set<std::uint64_t> acknowledged_;
  std::set<std::uint64_t> in_log_;
  std::size_t complaints_{0};
};

} // namespace

int main(int argc, char** argv) {
  std::ifstream file{argc > 1 ? argv[1] : ""};
  if (!file) {
    std::cerr << "usage: ovir_witness HISTORY\n";
    return 2;
  }
  witness one;
  for (std::string line; std::getline(file, line);) {
    const json read = json::parse(line, nullptr, false);
    if (read.is_discarded() || !read.is_object()) {
      std::cerr << "this line is no event: " << line << "\n";
      return 2;
    }
    one.read(read);
  }
  return one.judge();
}
