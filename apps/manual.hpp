#pragma once

#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

/// Manual pages, written from the options that a program parses: they cannot say anything else than
/// `--help`.
namespace ovir::apps {

struct manual_page {
  std::string name; ///< "ovir-model-inspect": section 1
  std::string text; ///< roff with the macros of man(7)
};

/// A page for the program and one for each of its commands, those of commands included. `version`
/// goes into the foot.
[[nodiscard]] std::vector<manual_page> manual_pages(const CLI::App& program,
                                                    const std::string& version);

/// Writes each page as FOLDER/NAME.1; makes the folder.
[[nodiscard]] result<void> write_manual_pages(storage::env& environment, const std::string& folder,
                                              const std::vector<manual_page>& pages);

} // namespace ovir::apps
