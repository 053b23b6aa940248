#include "gateway/console/console_files.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

// Defined in console_files.S.
#define OVIR_PAGE(symbol)                                                                          \
  extern "C" const char ovir_console_##symbol##_begin;                                             \
  extern "C" const char ovir_console_##symbol##_end;
OVIR_PAGE(index)
OVIR_PAGE(style)
OVIR_PAGE(app)
OVIR_PAGE(dom)
OVIR_PAGE(source)
OVIR_PAGE(cluster)
OVIR_PAGE(playground)
OVIR_PAGE(batches)
OVIR_PAGE(receipts)
OVIR_PAGE(ledger)
OVIR_PAGE(plan)
OVIR_PAGE(history)
OVIR_PAGE(words)
OVIR_PAGE(receipt)
OVIR_PAGE(verdict)
OVIR_PAGE(check)
OVIR_PAGE(noble)
OVIR_PAGE(licences)
#undef OVIR_PAGE

namespace ovir::gateway {

namespace {

constexpr std::string_view script = "text/javascript; charset=utf-8";

std::string_view between(const char& begin, const char& end) {
  return {&begin, static_cast<std::size_t>(&end - &begin)};
}

#define OVIR_FILE(name, type, symbol)                                                              \
  console_file { name, type, between(ovir_console_##symbol##_begin, ovir_console_##symbol##_end) }

const std::array<console_file, 18>& all_files() {
  static const std::array<console_file, 18> files{
      OVIR_FILE("", "text/html; charset=utf-8", index),
      OVIR_FILE("console.css", "text/css; charset=utf-8", style),
      OVIR_FILE("app.mjs", script, app),
      OVIR_FILE("dom.mjs", script, dom),
      OVIR_FILE("source.mjs", script, source),
      OVIR_FILE("cluster.mjs", script, cluster),
      OVIR_FILE("playground.mjs", script, playground),
      OVIR_FILE("batches.mjs", script, batches),
      OVIR_FILE("receipts.mjs", script, receipts),
      OVIR_FILE("ledger.mjs", script, ledger),
      OVIR_FILE("plan.mjs", script, plan),
      OVIR_FILE("history.mjs", script, history),
      OVIR_FILE("words.mjs", script, words),
      OVIR_FILE("receipt.mjs", script, receipt),
      OVIR_FILE("verdict.mjs", script, verdict),
      OVIR_FILE("receipt_check.mjs", script, check),
      OVIR_FILE("noble.mjs", script, noble),
      OVIR_FILE("licences.txt", "text/plain; charset=utf-8", licences),
  };
  return files;
}

#undef OVIR_FILE

} // namespace

const console_file* find_console_file(std::string_view name) {
  const auto& files = all_files();
  const auto found = std::find_if(files.begin(), files.end(),
                                  [&](const console_file& file) { return file.name == name; });
  return found == files.end() ? nullptr : found;
}

} // namespace ovir::gateway
