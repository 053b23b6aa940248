#include "storage/store/store_index.hpp"

#include "messages/limits/store.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace ovir::storage {

namespace {

constexpr std::size_t records_per_commit = 10'000; // while rebuilding

std::string path_in(const std::string& folder) { return folder + "/index.mdb"; }

error damaged(std::string_view what) {
  return fail(errc::digest_mismatch,
              "the store's index is damaged ({}); what can be read is kept when it is opened anew",
              what);
}

/// An index whose every page and record was looked at.
struct checked_index {
  bool sound{false};
  tree_root root;
  index_summary summary;
  pages_found pages;
};

result<void> refuse_other_versions(index_pages& pages, const tree_root& root) {
  std::string record;
  const std::string key = summary_index_key();
  if (pages.find(root, key, record) == index_pages::lookup::found && checked(key, record) &&
      !summary_from(key, record)) {
    return fail(errc::unsupported,
                "the store was written by another version of ovir; use that one, or move the "
                "store's folder away");
  }
  return {};
}

result<checked_index> check(const durable_file& file, const index_loader& loader) {
  index_pages pages{file};
  checked_index out;
  const auto root = pages.newest_root();
  if (!root) {
    return out;
  }
  OVIR_TRY(refuse_other_versions(pages, *root));
  out.root = *root;
  index_summary seen;
  std::optional<index_summary> stated;
  bool records_sound = true;
  out.pages = pages.check_all(*root, [&](std::string_view key, std::string_view record) {
    const auto sum = checked(key, record);
    if (!sum) {
      records_sound = false;
    } else if (key == summary_index_key()) {
      stated = summary_from(key, record);
    } else {
      ++seen.records;
      seen.sum += *sum;
      loader.record(key, record);
    }
  });
  seen.transaction = root->transaction;
  out.sound = out.pages.sound && records_sound && stated == seen;
  out.summary = seen;
  return out;
}

/// Whether a record may be taken over from a damaged index: it is whole, and what it refers to is
/// there and agrees.
class rescuer {
public:
  rescuer(index_pages& pages, const tree_root& root) : pages_(pages), root_(root) {}

  [[nodiscard]] bool takes(std::string_view key, std::string_view record) {
    if (const auto e = entry_from(key, record)) {
      return blocks_.take(e->where());
    }
    if (const auto target = key_target_from(key, record)) {
      const std::string at = entry_index_key(target->kind, target->name);
      std::string found;
      if (pages_.find(root_, at, found) != index_pages::lookup::found) {
        return false;
      }
      const auto e = entry_from(at, found);
      return e && std::any_of(e->keys.begin(), e->keys.end(),
                              [&](const digest& k) { return key_index_key(k) == key; });
    }
    return counters_from(key, record).has_value();
  }

private:
  index_pages& pages_;
  const tree_root& root_;
  extent_map blocks_;
};

/// A new index beside the old one; it takes its place when it is whole.
class index_writer {
public:
  static result<index_writer> begin(env& environment, const std::string& folder) {
    const std::string path = path_in(folder) + ".new";
    OVIR_TRY(environment.remove(path));
    OVIR_ASSIGN(auto file, environment.open_tree(path));
    return index_writer{environment, folder, std::move(file)};
  }

  result<void> add(std::string_view key, std::string_view record) {
    ++summary_.records;
    summary_.sum += checked(key, record).value_or(0);
    changes_.emplace(key, record);
    return changes_.size() < records_per_commit ? result<void>{} : flush();
  }

  result<void> finish() {
    summary_.transaction = file_->transaction() + 1;
    changes_.insert_or_assign(summary_index_key(), to_record(summary_));
    OVIR_TRY(flush());
    return env_.rename(path_in(folder_) + ".new", path_in(folder_));
  }

  [[nodiscard]] std::uint64_t records() const noexcept { return summary_.records; }

private:
  index_writer(env& environment, std::string folder, std::unique_ptr<tree_file> file)
      : env_(environment), folder_(std::move(folder)), file_(std::move(file)) {}

  result<void> flush() {
    OVIR_TRY(file_->commit(changes_));
    changes_.clear();
    return {};
  }

  env& env_;
  std::string folder_;
  std::unique_ptr<tree_file> file_;
  index_changes changes_;
  index_summary summary_;
};

/// Takes over what can be read. Only what is reached from a root counts: a page that lies about by
/// itself may be an older one, and would bring back what was removed since.
result<void> rebuild(env& environment, const std::string& folder, const durable_file& file,
                     index_report& report) {
  index_pages pages{file};
  OVIR_ASSIGN(index_writer writer, index_writer::begin(environment, folder));
  std::uint64_t stated = 0;
  for (const tree_root& root : pages.possible_roots()) {
    rescuer keep{pages, root};
    result<void> written;
    stated = std::max(stated, std::min(root.records, root.pages_end * root.page_bytes));
    const pages_found found =
        pages.visit_all(root, [&](std::string_view key, std::string_view record) {
          if (written && keep.takes(key, record)) {
            written = writer.add(key, record);
          }
        });
    OVIR_TRY(written);
    report.damaged_pages += found.damaged_pages;
    if (writer.records() > 0) {
      break;
    }
  }
  // The summary is a record too; it is not among those taken over.
  report.records_lost += stated - std::min(stated, writer.records() + 1);
  return writer.finish();
}

} // namespace

store_index::store_index(std::shared_ptr<const durable_file> file,
                         std::unique_ptr<tree_file> writer, tree_root root, index_summary summary)
    : file_(std::move(file)), writer_(std::move(writer)), root_(root), summary_(summary) {}

result<store_index> store_index::open(env& environment, const std::string& folder,
                                      const index_loader& loader, index_report& report) {
  const std::string path = path_in(folder);
  for (const bool last_try : {false, true}) {
    auto opened = environment.open_durable(path, durable_use::read);
    if (!opened && opened.error().code == errc::not_found && !last_try) {
      OVIR_ASSIGN(index_writer writer, index_writer::begin(environment, folder));
      OVIR_TRY(writer.finish());
      report.made = true;
      continue;
    }
    if (!opened) {
      return opened.error();
    }
    std::shared_ptr<const durable_file> file = std::move(*opened);
    OVIR_TRY(file->size());
    OVIR_ASSIGN(const checked_index found, check(*file, loader));
    if (found.sound) {
      OVIR_ASSIGN(auto writer, environment.open_tree(path));
      return store_index{std::move(file), std::move(writer), found.root, found.summary};
    }
    loader.restart();
    if (!last_try) {
      report.rebuilt = true;
      OVIR_TRY(rebuild(environment, folder, *file, report));
    }
  }
  return fail(errc::io_failed,
              "{}: is damaged again as soon as it is written; check the disk, or choose another "
              "place",
              path);
}

result<void> store_index::rewrite(env& environment, const std::string& folder) {
  OVIR_ASSIGN(const auto file, environment.open_durable(path_in(folder), durable_use::read));
  index_report unused;
  return rebuild(environment, folder, *file, unused);
}

result<std::optional<std::string>> store_index::find(const std::string& key) {
  std::string record;
  index_pages pages{*file_};
  switch (pages.find(root_, key, record)) {
  case index_pages::lookup::absent: return std::optional<std::string>{};
  case index_pages::lookup::damaged: break;
  case index_pages::lookup::found:
    if (checked(key, record)) {
      return std::optional{std::move(record)};
    }
    break;
  }
  return damaged("a record or the way to it");
}

result<void> store_index::sample(const std::string& key, std::size_t count,
                                 const index_pages::record_visitor& visit) {
  return index_pages{*file_}.sample(root_, key, count, visit) ? result<void>{} : damaged("a page");
}

result<void> store_index::visit_all(const index_pages::record_visitor& visit) {
  return index_pages{*file_}.visit_all(root_, visit).sound ? result<void>{} : damaged("pages");
}

// LMDB believes its pages. They were sound when the index was opened; what the disk, or somebody,
// changed since is found here, before LMDB writes by it.
result<void> store_index::check_pages(const index_changes& changes) {
  index_pages pages{*file_};
  const auto now = pages.newest_root();
  if (!now || now->transaction != root_.transaction || now->page != root_.page ||
      now->free_page != root_.free_page || !pages.free_tree_is_sound(*now)) {
    return damaged("its first pages");
  }
  for (const auto& [key, record] : changes) {
    if (!pages.path_is_sound(root_, key)) {
      return damaged("a page");
    }
  }
  return {};
}

result<index_summary> store_index::summary_after(const index_changes& changes) {
  index_summary after = summary_;
  for (const auto& [key, record] : changes) {
    OVIR_ASSIGN(const std::optional<std::string> before, find(key));
    if (before) {
      --after.records;
      after.sum -= checked(key, *before).value_or(0);
    }
    if (record) {
      ++after.records;
      after.sum += checked(key, *record).value_or(0);
    }
  }
  after.transaction = root_.transaction + 1;
  return after;
}

result<void> store_index::commit(index_changes changes) {
  OVIR_ASSIGN(const index_summary after, summary_after(changes));
  changes.insert_or_assign(summary_index_key(), to_record(after));
  OVIR_TRY(check_pages(changes));
  OVIR_TRY(writer_->commit(changes));
  const auto root = index_pages{*file_}.newest_root();
  if (!root || root->transaction != after.transaction) {
    return damaged("its first pages");
  }
  root_ = *root;
  summary_ = after;
  return {};
}

} // namespace ovir::storage
