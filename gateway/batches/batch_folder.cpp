#include "gateway/batches/batch_folder.hpp"

#include "messages/limits/batches.hpp"

#include <algorithm>
#include <set>
#include <span>
#include <utility>

namespace ovir::gateway {

namespace {

constexpr std::string_view file_ending = ".file";
constexpr std::string_view batch_ending = ".batch";
constexpr std::string_view bytes_ending = ".bytes";

std::string_view text_in(const storage::mapped_file& file) {
  const auto bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

} // namespace

std::string batch_folder::record_path(const std::string& id) const {
  return path_ + "/" + id + std::string{is_file_id(id) ? file_ending : batch_ending};
}

std::string batch_folder::bytes_path(const std::string& id) const {
  return path_ + "/" + id + std::string{bytes_ending};
}

result<batch_folder::contents> batch_folder::open() {
  OVIR_ASSIGN(const auto names, env_.list(path_));
  contents found;
  for (const std::string& name : names) {
    if (name.ends_with(file_ending)) {
      load_file(name, found);
    } else if (name.ends_with(batch_ending)) {
      load_batch(name, found);
    }
  }
  std::set<std::string> wanted;
  for (const stored_file& file : found.files) {
    wanted.insert(file.id);
  }
  for (const batch_record& batch : found.batches) {
    if (!is_over(batch.state)) {
      wanted.insert(batch.output);
      wanted.insert(batch.errors);
    }
  }
  for (const std::string& name : names) {
    const std::string id = name.substr(0, name.find('.'));
    const bool damaged = std::find(names.begin(), names.end(), id + std::string{file_ending}) !=
                         names.end(); // its record is looked at by people
    if (name.ends_with(bytes_ending) && is_file_id(id) && !wanted.contains(id) && !damaged) {
      OVIR_TRY(env_.remove(path_ + "/" + name));
    }
  }
  return found;
}

void batch_folder::load_file(const std::string& name, contents& to) {
  const std::string path = path_ + "/" + name;
  const auto read = [&]() -> result<stored_file> {
    OVIR_ASSIGN(const std::string text, env_.read(path, limits::file_record_bytes_max));
    OVIR_ASSIGN(stored_file file, stored_file_from(text));
    OVIR_ASSIGN(const auto bytes,
                env_.open_durable(bytes_path(file.id), storage::durable_use::read));
    OVIR_ASSIGN(const std::uint64_t size, bytes->size());
    if (size != file.bytes || file.id + std::string{file_ending} != name) {
      return fail(errc::malformed, "the record is not that of the bytes beside it");
    }
    return file;
  }();
  if (read && to.files.size() < limits::files_max) {
    to.files.push_back(*read);
  } else {
    to.damaged.push_back(path + ": " + (read ? "there are too many files" : read.error().message));
  }
}

void batch_folder::load_batch(const std::string& name, contents& to) {
  const std::string path = path_ + "/" + name;
  const auto read = [&]() -> result<batch_record> {
    OVIR_ASSIGN(const std::string text, env_.read(path, limits::batch_record_bytes_max));
    OVIR_ASSIGN(batch_record batch, batch_record_from(text));
    if (batch.id + std::string{batch_ending} != name) {
      return fail(errc::malformed, "the record is of another batch");
    }
    return batch;
  }();
  if (read && to.batches.size() < limits::batches_max) {
    to.batches.push_back(*read);
  } else {
    to.damaged.push_back(path + ": " +
                         (read ? "there are too many batches" : read.error().message));
  }
}

/// Whole, or as it was before.
result<void> batch_folder::replace(const std::string& path, std::string_view text) {
  OVIR_ASSIGN(const auto file, env_.stage(path));
  OVIR_TRY(file->append(std::as_bytes(std::span{text})));
  return file->commit();
}

result<void> batch_folder::keep(const stored_file& file, std::string_view bytes) {
  OVIR_TRY(env_.make_folder(path_)); // the first thing that is kept is such a file
  OVIR_TRY(replace(bytes_path(file.id), bytes));
  return keep(file);
}

result<void> batch_folder::keep(const stored_file& file) {
  return replace(record_path(file.id), text_of(file));
}

result<void> batch_folder::keep(const batch_record& batch) {
  return replace(record_path(batch.id), text_of(batch));
}

result<void> batch_folder::drop_file(const std::string& id) {
  OVIR_TRY(env_.remove(record_path(id)));
  return env_.remove(bytes_path(id));
}

result<void> batch_folder::drop_batch(const std::string& id) {
  return env_.remove(record_path(id));
}

result<std::shared_ptr<storage::mapped_file>> batch_folder::bytes_of(const std::string& id) {
  OVIR_ASSIGN(auto file, env_.map(bytes_path(id)));
  return std::shared_ptr<storage::mapped_file>{std::move(file)};
}

result<void> batch_folder::write(const std::string& id, std::uint64_t at, std::string_view text) {
  OVIR_ASSIGN(const auto file, env_.open_durable(bytes_path(id), storage::durable_use::make));
  OVIR_TRY(file->write_at(at, std::as_bytes(std::span{text})));
  return file->sync();
}

result<written_lines> batch_folder::lines_of(const std::string& id, std::string_view batch) {
  const auto file = env_.open_durable(bytes_path(id), storage::durable_use::write);
  if (!file && file.error().code == errc::not_found) {
    return written_lines{};
  }
  OVIR_TRY(file);
  OVIR_ASSIGN(const std::uint64_t size, (*file)->size());
  if (size == 0) {
    return written_lines{};
  }
  OVIR_ASSIGN(written_lines lines, [&]() -> result<written_lines> {
    OVIR_ASSIGN(const auto mapped, env_.map(bytes_path(id)));
    return written_lines_from(text_in(*mapped), batch);
  }());
  if (lines.bytes < size) {
    OVIR_TRY((*file)->truncate(lines.bytes));
    OVIR_TRY((*file)->sync());
  }
  return lines;
}

} // namespace ovir::gateway
