#include "apps/ovir/node/lan_join.hpp"

#include "apps/console.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/lan.hpp"

#include <algorithm>
#include <iostream>

namespace ovir::apps {

namespace {

/// A line may leave its addresses out: those found stand for them.
result<swarm_line> answered_line(std::string text, const actors::found_cluster& chosen) {
  const std::size_t begin = text.find_first_not_of(" \t");
  const std::size_t end = text.find_last_not_of(" \t\r");
  text = begin == std::string::npos ? std::string{} : text.substr(begin, end - begin + 1);
  const bool bare = text.starts_with(swarm_line_begin) || text.starts_with(invitation_line_begin);
  if (bare && !chosen.addresses.empty()) {
    text = chosen.addresses.front() + "/" + text;
  }
  return swarm_line_from(text);
}

} // namespace

result<lan_findings>
look_around(actors::lan& where, const std::string& own, const std::function<bool()>& stop,
            const std::function<std::chrono::steady_clock::time_point()>& now) {
  actors::found_table table;
  table.set_own_address(own);
  lan_findings out;
  const auto start = now();
  OVIR_ASSIGN(const actors::search_end end,
              where.search(
                  limits::lan_search_time,
                  [&](const actors::sighting& seen) {
                    table.add(seen);
                    if (table.nodes() > out.nodes) {
                      out.nodes = table.nodes();
                      out.last =
                          std::chrono::duration_cast<std::chrono::milliseconds>(now() - start);
                    }
                  },
                  stop));
  table.leave_out(end.left_out);
  out.clusters = table.clusters();
  out.warnings = table.warnings();
  return out;
}

std::string findings_text(const lan_findings& found) {
  if (found.clusters.empty()) {
    return "nothing announces itself on this network\n";
  }
  return fmt::format(
      "{} node{} of {} cluster{}, the last after {:.2f} s\n{}", found.nodes,
      found.nodes == 1 ? "" : "s", found.clusters.size(), found.clusters.size() == 1 ? "" : "s",
      std::chrono::duration<double>(found.last).count(), actors::table_text(found.clusters));
}

result<actors::found_cluster> chosen_by_lan(const lan_findings& found, const line_asker& ask) {
  if (found.clusters.empty()) {
    return fail(errc::not_found,
                "no swarm announces itself on this network; start one by `ovir up`, or give "
                "--join the line that a member printed");
  }
  std::size_t at = 0;
  if (found.clusters.size() > 1) {
    OVIR_ASSIGN(const std::string answer, ask("which one (number, or the beginning of its key)? "));
    OVIR_ASSIGN(at, actors::chosen_from(found.clusters, answer));
  }
  return found.clusters[at];
}

result<swarm_line> line_by_lan(const lan_findings& found, const line_asker& ask) {
  OVIR_ASSIGN(const actors::found_cluster chosen, chosen_by_lan(found, ask));
  return line_for(chosen, ask);
}

result<swarm_line> line_for(const actors::found_cluster& chosen, const line_asker& ask) {
  OVIR_ASSIGN(
      const std::string text,
      ask(fmt::format("invitation of '{}' (the line that `ovir up` or `ovir invite` printed "
                      "there): ",
                      chosen.name)));
  OVIR_ASSIGN(swarm_line line, answered_line(text, chosen));
  if (line.swarm() != chosen.key) {
    return fail(errc::invalid_argument,
                "the invitation is of the swarm with the key {} and not of '{}' with {}; name the "
                "right one, or give --join the whole invitation",
                to_hex(line.swarm()).substr(0, 16), chosen.name, to_hex(chosen.key).substr(0, 16));
  }
  for (const std::string& address : chosen.addresses) {
    if (line.members.size() < limits::seeds_max &&
        std::find(line.members.begin(), line.members.end(), address) == line.members.end()) {
      line.members.push_back(address);
    }
  }
  return line;
}

result<std::string> ask_person(std::string_view question) {
  write_note(question);
  std::string line;
  char next = 0;
  while (std::cin.get(next) && next != '\n') {
    if (line.size() >= limits::lan_answer_bytes_max) {
      return fail(errc::over_limit, "the answer has more than {} bytes",
                  limits::lan_answer_bytes_max);
    }
    line += next;
  }
  if (line.empty() && !std::cin) {
    return fail(errc::invalid_argument,
                "there is no answer; write it to standard input, or join by --join LINE");
  }
  return line;
}

} // namespace ovir::apps
