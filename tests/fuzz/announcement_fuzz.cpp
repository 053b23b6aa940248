#include "actors/reach/found_table.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

// Reads any bytes as the strings of a TXT record, each behind its length, in a table of what is
// found. What is accepted must be written as strings that say the same, and is printable.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::string> txt;
  for (std::size_t at = 0; at < size;) {
    const std::size_t length = std::min<std::size_t>(data[at], size - at - 1);
    txt.emplace_back(reinterpret_cast<const char*>(data + at + 1), length);
    at += 1 + length;
  }
  const auto told = ovir::actors::announcement_from(txt);
  if (told && (ovir::actors::announcement_from(to_txt(*told)).value() != *told)) {
    std::abort();
  }
  ovir::actors::found_table table;
  const std::string service = txt.empty() ? std::string{} : txt.front();
  table.add({service, "10.0.0.1:7300", txt});
  std::string all = table_text(table.clusters());
  for (const std::string& warning : table.warnings()) {
    all += warning + "\n";
  }
  if (table.clusters().size() != (told ? 1U : 0U) || table.warnings().empty() == !told) {
    std::abort();
  }
  for (const char c : all) {
    if (static_cast<unsigned char>(c) < ' ' && c != '\n') {
      std::abort();
    }
  }
  return 0;
}
