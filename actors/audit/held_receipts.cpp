#include "actors/audit/held_receipts.hpp"

#include "ledger/rules/equivocation.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/hex.hpp"
#include "messages/limits/audit.hpp"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string_view>

namespace ovir::actors {

namespace {

/// The number behind the name of a file: 0 where there is none.
std::optional<std::uint32_t> number_in(std::string_view name, std::string_view about) {
  if (!name.starts_with(about)) {
    return std::nullopt;
  }
  name.remove_prefix(about.size());
  if (name.empty()) {
    return 0;
  }
  std::uint32_t number = 0;
  const auto read = std::from_chars(name.data() + 1, name.data() + name.size(), number);
  const bool whole = read.ec == std::errc{} && read.ptr == name.data() + name.size();
  return name.front() == '.' && whole && number > 0 ? std::optional{number} : std::nullopt;
}

} // namespace

result<held_receipts> held_receipts::open(storage::env& env, const std::string& state) {
  held_receipts held{env, state + "/audits/held"};
  OVIR_TRY(env.make_folder(held.folder_));
  held.find_left();
  return held;
}

std::string held_receipts::path_of(const place& which) const {
  const auto& [about, number] = which;
  return number == 0 ? fmt::format("{}/{}", folder_, to_hex(about))
                     : fmt::format("{}/{}.{}", folder_, to_hex(about), number);
}

void held_receipts::find_left() {
  const auto names = env_->list(folder_);
  for (const std::string& name : names ? *names : std::vector<std::string>{}) {
    const std::string path = fmt::format("{}/{}", folder_, name);
    const auto text = env_->read(path, limits::audit_receipt_bytes_max);
    if (!text && text.error().code != errc::over_limit) {
      continue; // a disk that does not answer now may answer the next life
    }
    const auto r = text ? decode_receipt(std::as_bytes(std::span{*text})) : text.error();
    const digest about = r ? ledger::about_of(terms_of(r->asked)) : digest{};
    const auto number = r ? number_in(name, to_hex(about)) : std::nullopt;
    if (!number || all_.size() >= limits::held_receipts_max) {
      static_cast<void>(env_->remove(path));
    } else {
      all_.emplace(about, *number);
      left_[about] += text->size();
    }
  }
}

result<void> held_receipts::write(const place& which, const bytes& receipt) {
  OVIR_ASSIGN(const auto file, env_->create(path_of(which)));
  return file->append(*receipt);
}

result<void> held_receipts::put(const digest& about, const bytes& receipt) {
  const auto first = all_.lower_bound({about, 0});
  auto last = first;
  std::size_t same = 0;
  std::uint32_t number = 0;
  for (; last != all_.end() && last->first == about; ++last, ++same) {
    number = last->second + 1;
  }
  const place here{about, number};
  auto written = write(here, receipt);
  if (!written) {
    static_cast<void>(env_->remove(path_of(here)));
    if (unwritten_bytes_ + receipt->size() > limits::held_receipts_memory_max) {
      return written;
    }
    unwritten_bytes_ += receipt->size();
    unwritten_.emplace(here, receipt);
  }
  if (same >= limits::held_receipts_same_max) {
    remove(*first);
    all_.erase(first);
  }
  all_.insert(here);
  return {};
}

held_receipts::bytes held_receipts::read(const place& which) const {
  if (const auto found = unwritten_.find(which); found != unwritten_.end()) {
    return found->second;
  }
  const auto text = env_->read(path_of(which), limits::audit_receipt_bytes_max);
  if (!text) {
    return nullptr;
  }
  const auto view = std::as_bytes(std::span{*text});
  return std::make_shared<const std::vector<std::byte>>(view.begin(), view.end());
}

std::vector<held_receipts::bytes> held_receipts::get(const digest& about) const {
  std::vector<bytes> found;
  for (auto at = all_.lower_bound({about, 0}); at != all_.end() && at->first == about; ++at) {
    if (auto one = read(*at)) {
      found.push_back(std::move(one));
    }
  }
  return found;
}

void held_receipts::remove(const place& which) {
  if (const auto found = unwritten_.find(which); found != unwritten_.end()) {
    unwritten_bytes_ -= found->second->size();
    unwritten_.erase(found);
    return;
  }
  // What cannot be removed is offered once more by the next life.
  static_cast<void>(env_->remove(path_of(which)));
}

void held_receipts::drop(const digest& about) {
  auto at = all_.lower_bound({about, 0});
  for (; at != all_.end() && at->first == about; at = all_.erase(at)) {
    remove(*at);
  }
}

} // namespace ovir::actors
