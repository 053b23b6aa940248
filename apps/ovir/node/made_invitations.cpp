#include "apps/ovir/node/made_invitations.hpp"

#include "actors/link/access_list.hpp"
#include "compute/base/printable.hpp"
#include "messages/hex.hpp"
#include "messages/limits/invitations.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <sstream>

namespace ovir::apps {

namespace {

constexpr std::string_view made_head = "ovir-invitations-v1";
constexpr std::size_t invitation_digits_min = 4;

std::string path_of_made(const std::string& folder) {
  return (std::filesystem::path{folder} / "invitations").string();
}

result<invitation> invitation_of_line(const std::string& line) {
  OVIR_ASSIGN(const auto bytes, bytes_from_hex(line, "an invitation", limits::invitation_bytes));
  return invitation_from_bytes(bytes);
}

result<std::vector<invitation>> read_made(storage::env& environment, const std::string& folder) {
  const std::string path = path_of_made(folder);
  const auto text = environment.read(path, limits::invitations_file_bytes_max);
  if (!text && text.error().code == errc::not_found) {
    return std::vector<invitation>{};
  }
  if (!text) {
    return text.error();
  }
  std::vector<invitation> made;
  std::istringstream lines{*text};
  std::string line;
  std::getline(lines, line);
  bool good = line == made_head;
  while (good && std::getline(lines, line)) {
    const auto one = invitation_of_line(line);
    good = one && made.size() < limits::invitations_kept_max;
    if (good) {
      made.push_back(*one);
    }
  }
  return good ? result<std::vector<invitation>>{std::move(made)}
              : fail(errc::malformed,
                     "{} is damaged; remove it: invitations stay as they are, and are no longer "
                     "listed before they are used",
                     path);
}

} // namespace

std::string_view listed_invitation::state(std::uint64_t now_unix) const noexcept {
  if (revoked) {
    return "revoked";
  }
  if (now_unix >= expires_unix) {
    return "expired";
  }
  return used >= uses ? "used up" : "open";
}

result<void> keep_invitation(storage::env& environment, const std::string& folder,
                             const invitation& made, std::uint64_t now_unix) {
  OVIR_ASSIGN(std::vector<invitation> all, read_made(environment, folder));
  std::erase_if(all, [&](const invitation& one) { return now_unix >= one.expires_unix; });
  if (all.size() >= limits::invitations_kept_max) {
    return fail(errc::over_limit, "{} invitations are kept already, which have not expired",
                all.size());
  }
  all.push_back(made);
  std::string text{made_head};
  for (const invitation& one : all) {
    text += "\n" + to_hex(std::span<const std::byte>{to_bytes(one)});
  }
  text += "\n";
  OVIR_ASSIGN(const auto file, environment.stage(path_of_made(folder)));
  OVIR_TRY(file->append(std::as_bytes(std::span{text})));
  return file->commit();
}

result<std::vector<listed_invitation>> known_invitations(storage::env& environment,
                                                         const std::string& folder) {
  OVIR_ASSIGN(const auto made, read_made(environment, folder));
  actors::access_list::settings how;
  how.path = folder + "/admissions";
  OVIR_ASSIGN(const auto access, actors::access_list::load(environment, std::move(how)));
  std::map<node_id, listed_invitation> known;
  const auto describe = [&known](const invitation& what) {
    known[what.key] = {what.key, what.roles, what.expires_unix, what.uses};
  };
  for (const invitation& one : made) {
    describe(one);
  }
  for (const auto& seen : access->invitations()) {
    if (seen.what) {
      describe(*seen.what);
    }
    listed_invitation& its = known[seen.key];
    its.key = seen.key;
    its.used = seen.used;
    its.revoked = seen.revoked;
  }
  std::vector<listed_invitation> out;
  for (const auto& one : known) {
    out.push_back(one.second);
  }
  return out;
}

result<node_id> invitation_named(std::span<const listed_invitation> known, std::string_view begin) {
  std::optional<node_id> meant;
  std::size_t fitting = 0;
  for (const listed_invitation& one : known) {
    if (begin.size() >= invitation_digits_min && to_hex(one.key).starts_with(begin)) {
      meant = one.key;
      ++fitting;
    }
  }
  return fitting == 1
             ? result<node_id>{*meant}
             : fail(errc::not_found,
                    "'{}' begins the key of {} invitations; `ovir invite list` shows their keys, "
                    "of which at least {} digits are needed",
                    compute::printable(begin), fitting, invitation_digits_min);
}

} // namespace ovir::apps
