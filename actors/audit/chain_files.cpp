#include "actors/audit/chain_files.hpp"

#include "messages/limits/audit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace ovir::actors {

namespace {

constexpr std::string_view chain_begin = "chain-";
constexpr std::size_t seed_bytes = digest::size;

} // namespace

std::string chain_files::path_of(std::uint64_t number) const {
  return fmt::format("{}/{}{:08}", folder_, chain_begin, number);
}

result<chain_files> chain_files::open(storage::env& env, const std::string& state) {
  chain_files files{env, state + "/audits"};
  OVIR_TRY(env.make_folder(files.folder_));
  OVIR_ASSIGN(std::vector<std::string> names, env.list(files.folder_));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    std::uint64_t number = 0;
    const char* const end = name.data() + name.size();
    if (!name.starts_with(chain_begin) ||
        std::from_chars(name.data() + chain_begin.size(), end, number).ptr != end) {
      continue;
    }
    digest seed;
    const auto read =
        env.read_secret_file(files.path_of(number), std::as_writable_bytes(std::span{seed.bytes}));
    if (!read || *read != seed_bytes) {
      continue;
    }
    OVIR_ASSIGN(auto chain, ledger::hash_chain::make(seed, limits::audit_chain_links));
    files.numbers_.push_back(number);
    files.chains_.push_back(std::move(chain));
  }
  return files;
}

result<void> chain_files::add() {
  digest seed;
  env_->random(std::as_writable_bytes(std::span{seed.bytes}));
  std::uint64_t number = numbers_.empty() ? 1 : numbers_.back() + 1;
  OVIR_ASSIGN(bool made,
              env_->make_secret_file(path_of(number), std::as_bytes(std::span{seed.bytes})));
  while (!made) { // one that could not be read
    OVIR_ASSIGN(made,
                env_->make_secret_file(path_of(++number), std::as_bytes(std::span{seed.bytes})));
  }
  OVIR_ASSIGN(auto chain, ledger::hash_chain::make(seed, limits::audit_chain_links));
  numbers_.push_back(number);
  chains_.push_back(std::move(chain));
  return {};
}

void chain_files::keep(std::size_t most) {
  while (chains_.size() > most) {
    if (!env_->remove(path_of(numbers_.front()))) {
      return;
    }
    numbers_.erase(numbers_.begin());
    chains_.erase(chains_.begin());
  }
}

} // namespace ovir::actors
