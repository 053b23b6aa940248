// The dashboard for Grafana names only metrics and labels that there are, and all metrics.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/metrics_page.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <functional>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;
using names = std::set<std::string>;

plain_json dashboard() {
  return plain_json::parse(read_file(source_file("config/grafana/ovir.json")));
}

/// What a row or a panel is made of, rows' panels included.
void each_panel(const plain_json& list, const std::function<void(const plain_json&)>& use) {
  for (const plain_json& panel : list) {
    use(panel);
    each_panel(panel.value("panels", plain_json::array()), use);
  }
}

struct expression {
  names metrics;
  names labels;
  std::set<std::pair<std::string, std::string>> functions; ///< of which metric
};

/// As far as the dashboard's own PromQL goes: functions, selectors with matchers, `by (...)`.
expression read(const std::string& text) {
  static const std::regex selector{R"((?:(\w+)\()?(ovir_\w+)(?:\{([^}]*)\})?)"};
  static const std::regex matcher{R"re((\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*")re"};
  static const std::regex grouping{R"(by \(([^)]*)\))"};
  expression found;
  for (auto it = std::sregex_iterator{text.begin(), text.end(), selector};
       it != std::sregex_iterator{}; ++it) {
    found.metrics.insert((*it)[2]);
    found.functions.emplace((*it)[1], (*it)[2]);
    const std::string braces = (*it)[3];
    for (auto m = std::sregex_iterator{braces.begin(), braces.end(), matcher};
         m != std::sregex_iterator{}; ++m) {
      found.labels.insert((*m)[1]);
    }
  }
  static const std::regex word{R"(\w+)"};
  for (auto it = std::sregex_iterator{text.begin(), text.end(), grouping};
       it != std::sregex_iterator{}; ++it) {
    const std::string list = (*it)[1];
    for (auto w = std::sregex_iterator{list.begin(), list.end(), word}; w != std::sregex_iterator{};
         ++w) {
      found.labels.insert((*w)[0]);
    }
  }
  return found;
}

/// What an expression says that no node tells; empty when all is well.
std::string fault_in(const std::string& text, names& used) {
  static const auto documented = documented_metrics();
  const expression e = read(text);
  if (e.metrics.empty()) {
    return "it names no metric";
  }
  names labels{"instance", "job"};
  for (const std::string& sample : e.metrics) {
    std::string name = sample;
    const bool bucket = name.ends_with("_bucket");
    if (bucket) {
      name.resize(name.size() - 7);
      labels.insert("le");
    }
    const auto found = documented.find(name);
    if (found == documented.end() || bucket != (found->second.type == "histogram")) {
      return "no node tells " + sample;
    }
    labels.insert(found->second.labels.begin(), found->second.labels.end());
    used.insert(name);
    for (const auto& [function, of] : e.functions) {
      const bool counts = function == "rate" || function == "increase";
      if (of == sample && counts != (found->second.type != "gauge")) {
        return sample + " is a " + found->second.type;
      }
    }
  }
  for (const std::string& label : e.labels) {
    if (!labels.contains(label)) {
      return "none of these metrics has the label " + label;
    }
  }
  return {};
}

TEST(dashboard, names_metrics_and_labels_that_there_are_and_every_metric) {
  names used;
  each_panel(dashboard().at("panels"), [&](const plain_json& panel) {
    for (const plain_json& target : panel.value("targets", plain_json::array())) {
      const std::string expr = target.at("expr");
      EXPECT_EQ(fault_in(expr, used), "") << expr;
      const auto open = static_cast<std::size_t>(std::count(expr.begin(), expr.end(), '('));
      EXPECT_EQ(open, static_cast<std::size_t>(std::count(expr.begin(), expr.end(), ')'))) << expr;
    }
  });
  names documented;
  for (const auto& [name, what] : documented_metrics()) {
    documented.insert(name);
  }
  EXPECT_EQ(used, documented);
}

TEST(dashboard, check_sees_what_is_wrong) {
  names used;
  EXPECT_NE(fault_in("sum(rate(ovir_tokens_total[5m]))", used), "");
  EXPECT_NE(fault_in("sum by (health) (ovir_links)", used), "");
  EXPECT_NE(fault_in("rate(ovir_links[5m])", used), "");
  EXPECT_NE(fault_in("sum(ovir_tokens_drawn_total)", used), "");
  EXPECT_NE(fault_in("ovir_step_slack_seconds", used), "");
  EXPECT_NE(fault_in("ovir_members{node=\"a\"}", used), "");
  EXPECT_EQ(fault_in("max by (health) (ovir_members{instance=~\"$node\"})", used), "");
}

TEST(dashboard, has_panels_of_their_own_ids_that_do_not_overlap) {
  const plain_json all = dashboard();
  EXPECT_EQ(all.at("uid"), "ovir");
  EXPECT_GE(all.at("schemaVersion"), 36) << "of Grafana 9";
  std::set<int> ids;
  std::set<std::pair<int, int>> taken;
  names rows;
  each_panel(all.at("panels"), [&](const plain_json& panel) {
    EXPECT_TRUE(ids.insert(panel.at("id").get<int>()).second) << panel.at("id");
    const plain_json& at = panel.at("gridPos");
    EXPECT_LE(at.at("x").get<int>() + at.at("w").get<int>(), 24);
    for (int x = at.at("x"); x < at.at("x").get<int>() + at.at("w").get<int>(); ++x) {
      for (int y = at.at("y"); y < at.at("y").get<int>() + at.at("h").get<int>(); ++y) {
        EXPECT_TRUE(taken.emplace(x, y).second) << panel.at("title") << " lies upon another";
      }
    }
    if (panel.at("type") == "row") {
      rows.insert(panel.at("title"));
    }
  });
  EXPECT_EQ(rows, (names{"Throughput", "Latency", "Slack", "Queues", "Cluster and restarts",
                         "Cache", "Evidence", "Ledger", "Batches"}));
}

} // namespace
} // namespace ovir::test
