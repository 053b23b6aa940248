#include "storage/store/lmdb_index.hpp"

#include "messages/check.hpp"
#include "storage/store/record_check.hpp"
#include "storage/store/store_index.hpp"

#include <optional>
#include <utility>

namespace ovir::storage {

namespace {

// No key of the content store begins with it: none is taken for another.
constexpr char index_table = 'x';

std::string index_key(std::string_view key) {
  std::string out{index_table};
  return out += key;
}

class lmdb_index final : public derived_index {
public:
  lmdb_index(env& environment, std::string folder, store_index index)
      : env_(environment), folder_(std::move(folder)), index_(std::move(index)) {}

  result<void> visit(const visitor& each) override {
    OVIR_TRY(check_usable());
    return index_->visit_all([&](std::string_view key, std::string_view record) {
      if (!key.empty() && key.front() == index_table) {
        each(key.substr(1), without_check(record));
      }
    });
  }
  result<std::optional<std::string>> find(const std::string& key) override {
    OVIR_TRY(check_usable());
    OVIR_ASSIGN(auto found, index_->find(index_key(key)));
    if (found) {
      found->resize(without_check(*found).size());
    }
    return found;
  }
  result<void> commit(const changes& what) override {
    OVIR_TRY(check_usable());
    index_changes all;
    for (const auto& [key, record] : what) {
      OVIR_CHECK(!key.empty() && key.size() <= key_bytes_max, key.size());
      const std::string at = index_key(key);
      if (record) {
        OVIR_CHECK(record->size() <= record_bytes_max, record->size());
        all.emplace(at, with_check(at, *record));
      } else {
        all.emplace(at, std::nullopt);
      }
    }
    auto done = index_->commit(std::move(all));
    if (!done && done.error().code != errc::io_failed) {
      index_.reset();
    }
    return done;
  }
  result<void> clear() override {
    index_.reset();
    OVIR_TRY(env_.remove(folder_ + "/index.mdb"));
    index_report unused;
    OVIR_ASSIGN(store_index fresh, store_index::open(env_, folder_, nothing_loaded(), unused));
    index_ = std::move(fresh);
    return {};
  }

  static index_loader nothing_loaded() {
    return {[](std::string_view, std::string_view) {}, [] {}};
  }

private:
  [[nodiscard]] result<void> check_usable() const {
    return index_ ? result<void>{}
                  : fail(errc::internal, "{}/index.mdb: failed before; it is opened anew", folder_);
  }

  env& env_;
  std::string folder_;
  std::optional<store_index> index_;
};

} // namespace

result<std::unique_ptr<derived_index>> open_lmdb_index(env& environment, const std::string& folder,
                                                       derived_index_report& report) {
  index_report found;
  auto opened = store_index::open(environment, folder, lmdb_index::nothing_loaded(), found);
  report.damaged = found.rebuilt;
  if (!opened) {
    return opened.error();
  }
  return std::unique_ptr<derived_index>{
      std::make_unique<lmdb_index>(environment, folder, std::move(*opened))};
}

} // namespace ovir::storage
