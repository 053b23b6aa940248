#include "actors/audit/audit_files.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ovir::actors {

namespace {

constexpr std::string_view events_begin = "events-";
constexpr std::uint64_t events_bytes_max =
    limits::audit_log_entries_max * ledger::track_event_bytes;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span{text});
}

} // namespace

result<audit_files> audit_files::open(storage::env& env, const std::string& state) {
  audit_files files{env, state + "/audits"};
  OVIR_TRY(env.make_folder(files.folder_ + "/convictions"));
  OVIR_TRY(env.make_folder(files.folder_ + "/quarantined"));
  OVIR_TRY(env.make_folder(files.folder_ + "/open"));
  return files;
}

result<std::vector<ledger::track_event>> audit_files::read_events() {
  OVIR_ASSIGN(std::vector<std::string> names, env_->list(folder_));
  std::erase_if(names, [](const std::string& name) { return !name.starts_with(events_begin); });
  std::vector<std::vector<ledger::track_event>> lives; // newest first
  std::size_t count = 0;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    const std::string path = fmt::format("{}/{}", folder_, *name);
    if (count > limits::audit_log_entries_max) {
      OVIR_TRY(env_->remove(path));
      continue;
    }
    OVIR_ASSIGN(const std::string text, env_->read(path, 2 * events_bytes_max));
    lives.push_back(ledger::replay_track_log(bytes_of(text)).events);
    count += lives.back().size();
  }
  std::vector<ledger::track_event> all;
  for (auto life = lives.rbegin(); life != lives.rend(); ++life) {
    all.insert(all.end(), life->begin(), life->end());
  }
  return all;
}

result<void> audit_files::append(std::span<const ledger::track_event> events) {
  if (events.empty()) {
    return {};
  }
  if (events_ == nullptr) {
    // Names sort as numbers do; a life that begins within the second of another comes behind it.
    OVIR_ASSIGN(const std::vector<std::string> names, env_->list(folder_));
    std::uint64_t number = env_->unix_seconds() * 1'000;
    const auto path = [&] { return fmt::format("{}{:020}", events_begin, number); };
    while (std::find(names.begin(), names.end(), path()) != names.end()) {
      ++number;
    }
    OVIR_ASSIGN(events_, env_->create(fmt::format("{}/{}", folder_, path())));
    last_ = {};
  }
  std::vector<std::byte> bytes;
  for (const ledger::track_event& e : events) {
    const auto one = ledger::encode(e, last_);
    bytes.insert(bytes.end(), one.begin(), one.end());
    std::copy(one.end() - static_cast<std::ptrdiff_t>(last_.size()), one.end(), last_.begin());
  }
  const auto done = events_->append(bytes);
  if (!done) {
    events_.reset(); // its end is unknown: a file of its own for what comes
  }
  return done;
}

std::vector<conviction> audit_files::read_convictions() {
  std::vector<conviction> all;
  const std::string folder = folder_ + "/convictions";
  const auto names = env_->list(folder);
  for (const std::string& name : names ? *names : std::vector<std::string>{}) {
    auto c = read_file(fmt::format("{}/{}", folder, name));
    // By its name: what convicts somebody is found again under it (`read_conviction`).
    if (c && name == to_hex(c->guilty) && all.size() < limits::audit_convicted_max) {
      all.push_back(std::move(*c));
    }
  }
  return all;
}

result<conviction> audit_files::read_file(const std::string& path) {
  OVIR_ASSIGN(const std::string text, env_->read(path, limits::audit_message_bytes_max));
  OVIR_ASSIGN(audit_message message, decode_audit(bytes_of(text)));
  auto* const c = std::get_if<conviction>(&message);
  return c == nullptr ? fail(errc::malformed, "{} is no conviction", path)
                      : result<conviction>{std::move(*c)};
}

result<conviction> audit_files::read_conviction(const node_id& guilty) {
  return read_file(fmt::format("{}/convictions/{}", folder_, to_hex(guilty)));
}

result<void> audit_files::keep_open(std::span<const std::byte> receipt) {
  OVIR_ASSIGN(const auto names, env_->list(folder_ + "/open"));
  if (names.size() >= limits::audit_open_kept_max) {
    return fail(errc::over_limit, "{} receipts are kept", names.size());
  }
  OVIR_ASSIGN(const auto file,
              env_->stage(fmt::format("{}/open/{}", folder_, to_hex(receipt_digest(receipt)))));
  OVIR_TRY(file->append(receipt));
  return file->commit();
}

void audit_files::drop_open(const digest& name) {
  // What cannot be removed is looked at once more by the next life.
  static_cast<void>(env_->remove(fmt::format("{}/open/{}", folder_, to_hex(name))));
}

std::vector<std::pair<digest, std::vector<std::byte>>> audit_files::read_open() {
  std::vector<std::pair<digest, std::vector<std::byte>>> all;
  const std::string folder = folder_ + "/open";
  const auto names = env_->list(folder);
  for (const std::string& name : names ? *names : std::vector<std::string>{}) {
    const std::string path = fmt::format("{}/{}", folder, name);
    const auto text = env_->read(path, limits::audit_receipt_bytes_max);
    if (!text) {
      continue; // a disk that does not answer now may answer the next life
    }
    const std::span<const std::byte> bytes = bytes_of(*text);
    const digest is = receipt_digest(bytes);
    if (to_hex(is) != name || all.size() >= limits::audit_open_kept_max) {
      static_cast<void>(env_->remove(path));
    } else {
      all.emplace_back(is, std::vector<std::byte>{bytes.begin(), bytes.end()});
    }
  }
  return all;
}

result<void> audit_files::note_quarantine(const node_id& guilty) {
  OVIR_ASSIGN(const auto file,
              env_->stage(fmt::format("{}/quarantined/{}", folder_, to_hex(guilty))));
  return file->commit();
}

bool audit_files::is_quarantined(const node_id& guilty) const {
  return env_->read(fmt::format("{}/quarantined/{}", folder_, to_hex(guilty)), 0).has_value();
}

result<void> audit_files::keep(const conviction& c) {
  OVIR_ASSIGN(const auto bytes, encode_audit(c));
  OVIR_ASSIGN(const auto file,
              env_->stage(fmt::format("{}/convictions/{}", folder_, to_hex(c.guilty))));
  OVIR_TRY(file->append(bytes));
  return file->commit();
}

std::function<result<std::vector<std::byte>>(const node_id&)>
examined_convictions(storage::env& env, const std::string& state) {
  return [&env, state](const node_id& guilty) -> result<std::vector<std::byte>> {
    OVIR_ASSIGN(audit_files files, audit_files::open(env, state));
    const auto known = files.read_conviction(guilty);
    if (!known) {
      return fail(errc::busy, "the conviction of {} was not examined here yet; send it again later",
                  short_name(guilty));
    }
    return encode_audit(*known);
  };
}

} // namespace ovir::actors
