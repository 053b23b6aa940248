#include "actors/payment/journal_folder.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace ovir::actors {

result<std::vector<std::uint64_t>> journal_folder::list() {
  OVIR_ASSIGN(const auto names, env_.list(folder_));
  std::vector<std::uint64_t> numbers;
  for (const std::string& name : names) {
    std::uint64_t number = 0;
    const char* const end = name.data() + name.size();
    const auto [rest, wrong] = std::from_chars(name.data(), end, number);
    if (wrong == std::errc{} && rest == end && path_of(number) == folder_ + "/" + name) {
      numbers.push_back(number);
    }
  }
  std::ranges::sort(numbers); // names are sorted as text
  return numbers;
}

result<std::unique_ptr<durable_file>> journal_folder::open(std::uint64_t number) {
  return env_.open_durable(path_of(number), storage::durable_use::write);
}

result<std::unique_ptr<durable_file>> journal_folder::create(std::uint64_t number) {
  OVIR_TRY(env_.make_folder(folder_));
  OVIR_TRY(env_.remove(path_of(number))); // one that was never finished
  return env_.open_durable(path_of(number), storage::durable_use::make);
}

result<void> journal_folder::remove(std::uint64_t number) { return env_.remove(path_of(number)); }

} // namespace ovir::actors
