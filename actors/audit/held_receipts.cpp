#include "actors/audit/held_receipts.hpp"

#include "ledger/rules/equivocation.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/hex.hpp"
#include "messages/limits/audit.hpp"

#include <fmt/format.h>

namespace ovir::actors {

result<held_receipts> held_receipts::open(storage::env& env, const std::string& state) {
  held_receipts held{env, state + "/audits/held"};
  OVIR_TRY(env.make_folder(held.folder_));
  return held;
}

std::string held_receipts::path_of(const digest& about) const {
  return fmt::format("{}/{}", folder_, to_hex(about));
}

std::vector<std::pair<digest, std::size_t>> held_receipts::left() const {
  std::vector<std::pair<digest, std::size_t>> all;
  const auto names = env_->list(folder_);
  for (const std::string& name : names ? *names : std::vector<std::string>{}) {
    const std::string path = fmt::format("{}/{}", folder_, name);
    const auto text = env_->read(path, limits::audit_receipt_bytes_max);
    if (!text && text.error().code != errc::over_limit) {
      continue; // a disk that does not answer now may answer the next life
    }
    const auto r = text ? decode_receipt(std::as_bytes(std::span{*text})) : text.error();
    const digest about = r ? ledger::about_of(terms_of(r->asked)) : digest{};
    if (!r || to_hex(about) != name || all.size() >= limits::held_receipts_max) {
      static_cast<void>(env_->remove(path));
    } else {
      all.emplace_back(about, text->size());
    }
  }
  return all;
}

result<void> held_receipts::write(const digest& about, const bytes& receipt) {
  OVIR_ASSIGN(const auto file, env_->create(path_of(about)));
  return file->append(*receipt);
}

result<void> held_receipts::put(const digest& about, const bytes& receipt) {
  forget_unwritten(about);
  auto written = write(about, receipt);
  if (!written) {
    static_cast<void>(env_->remove(path_of(about)));
    if (unwritten_bytes_ + receipt->size() > limits::held_receipts_memory_max) {
      return written;
    }
    unwritten_bytes_ += receipt->size();
    unwritten_.emplace(about, receipt);
  }
  return {};
}

held_receipts::bytes held_receipts::get(const digest& about) const {
  if (const auto found = unwritten_.find(about); found != unwritten_.end()) {
    return found->second;
  }
  const auto text = env_->read(path_of(about), limits::audit_receipt_bytes_max);
  if (!text) {
    return nullptr;
  }
  const auto view = std::as_bytes(std::span{*text});
  return std::make_shared<const std::vector<std::byte>>(view.begin(), view.end());
}

bool held_receipts::forget_unwritten(const digest& about) {
  const auto found = unwritten_.find(about);
  if (found == unwritten_.end()) {
    return false;
  }
  unwritten_bytes_ -= found->second->size();
  unwritten_.erase(found);
  return true;
}

void held_receipts::drop(const digest& about) {
  if (forget_unwritten(about)) {
    return;
  }
  // What cannot be removed is offered once more by the next life.
  static_cast<void>(env_->remove(path_of(about)));
}

} // namespace ovir::actors
