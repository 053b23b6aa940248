// `ovir ledger clock`: a ledger's time, and an operator's word on it.
#include "actors/payment/kept_ledger.hpp"
#include "apps/ovir/ledger/ledger_commands.hpp"
#include "apps/ovir/ledger/ledger_folder.hpp"
#include "messages/limits/clock.hpp"
#include "messages/limits/ledger.hpp"

#include <charconv>
#include <memory>

namespace ovir::apps {

namespace {

struct clock_options {
  std::string folder;
  std::string accept;
  bool as_json{false};
};

result<std::uint64_t> time_from(const std::string& text, std::uint64_t wall_s) {
  if (text == "now") {
    return wall_s;
  }
  std::uint64_t unix_s = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, wrong] = std::from_chars(text.data(), end, unix_s);
  if (wrong != std::errc{} || rest != end || unix_s > limits::ledger_seconds_max) {
    return fail(errc::invalid_argument,
                "--accept is now, or seconds since 1970 as by date +%s, not \"{}\"", text);
  }
  const std::uint64_t apart = unix_s > wall_s ? unix_s - wall_s : wall_s - unix_s;
  if (apart > limits::ledger_clock_word_s) {
    return fail(errc::invalid_argument,
                "it is {} by this machine's clock, {} s from {}; set the clock right first", wall_s,
                apart, unix_s);
  }
  return unix_s;
}

result<exit_code> clock(const clock_options& given, surroundings& around) {
  OVIR_ASSIGN(const std::string folder, ledger_folder_from(given.folder));
  OVIR_ASSIGN(const auto head, kept_head(around.environment, folder));
  if (!head) {
    return fail(errc::not_found, "{}: there is no ledger; name its folder with --ledger", folder);
  }
  const std::uint64_t wall = around.environment.unix_seconds();
  const std::uint64_t time =
      std::max(head->head.time, actors::kept_ledger_time(around.environment, folder).value_or(0));
  const std::uint64_t apart = wall > time ? wall - time : time - wall;
  if (!given.accept.empty()) {
    OVIR_ASSIGN(const std::uint64_t accepted, time_from(given.accept, wall));
    OVIR_TRY(actors::keep_operators_word(around.environment, folder, accepted));
  }
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"ledger", time},
                                 {"machine", wall},
                                 {"accepted", !given.accept.empty()},
                                 {"needs_word", apart > limits::ledger_clock_gap_s_max}}));
  } else {
    OVIR_TRY(write_output(fmt::format(
        "ledger  {}\nmachine {}, {} s {}\n{}", time, wall, apart, wall < time ? "behind" : "ahead",
        given.accept.empty() ? "" : "the ledger's time follows the machine's clock\n")));
  }
  return exit_code::done;
}

} // namespace

void add_ledger_clock(CLI::App& ledger, chosen_command& chosen) {
  CLI::App* const command =
      ledger.add_subcommand("clock", "A ledger's time, and your word that the machine's is right");
  const auto given = std::make_shared<clock_options>();
  command->footer(
      "The time of a ledger does not follow jumps of its machine's clock, nor gaps of more than a "
      "day.\n--accept now says that the clock is right: a keeper that runs takes it within a "
      "second, any other\nat its next start.\n\nExamples:\n  ovir ledger clock\n"
      "  ovir ledger clock --accept now\n  ovir ledger clock --accept $(date +%s)");
  command->add_option("--accept", given->accept, "The time: now, or seconds since 1970");
  command->add_option("--ledger", given->folder, "Folder of the ledger");
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return clock(*given, around); };
  });
}

} // namespace ovir::apps
