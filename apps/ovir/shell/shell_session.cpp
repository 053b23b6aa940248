#include "apps/ovir/shell/shell_session.hpp"

#include "apps/ovir/shell/shell_render.hpp"
#include "compute/base/printable.hpp"
#include "messages/hex.hpp"
#include "messages/limits/evidence.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/ledger.hpp"

#include <fmt/format.h>

#include <array>
#include <span>
#include <utility>
#include <vector>

namespace ovir::apps {

namespace {

constexpr std::size_t sentence_bytes_max = 500;

json document_of(const shell_failure& failure) {
  return {{"error", {{"code", failure.code}, {"message", failure.message}}}};
}

bool answers_with_text(const shell_command& command) {
  return command.spec->name == "run" || command.spec->name == "attach";
}

/// Tokens of an answer that is shown as a whole, told at once.
constexpr std::uint32_t unseen_bunch = 16;

result<std::vector<std::byte>> bytes_of_page(const json& page) {
  if (!page.is_object() || !page.contains("bytes") || !page["bytes"].is_string()) {
    return fail(errc::not_found, "the node sent no receipt; it may be of an older version");
  }
  return bytes_from_hex(page["bytes"].get_ref<const std::string&>(), "the receipt the node sent",
                        limits::admin_bytes_max);
}

} // namespace

void shell_session::show(std::string_view text) {
  if (as_json_ || output_failed_) {
    return;
  }
  if (const auto written = write_output(text); !written) {
    output_failed_ = written.error();
  }
}

void shell_session::show_event(const shell_command& command, const json& event) {
  if (as_json_) {
    return;
  }
  if (const auto note = event.find("note"); note != event.end() && note->is_string()) {
    write_note(fmt::format(
        "\n[{}]\n", compute::printable(note->get_ref<const std::string&>(), sentence_bytes_max)));
  } else if (command.spec->name == "top") {
    show(render("top", event) + "\n");
  }
}

// A large receipt comes in pages. It is the same bytes whoever is asked again: the request's node
// keeps it with the request.
result<void> shell_session::fetch_receipt(const json& data, storage::staged_file& file) {
  const std::string request = data.value("request", std::string{});
  for (std::uint64_t from = 0, size = 1; from < size;) {
    OVIR_ASSIGN(shell_command next,
                parse_command({"receipt", request, "--from", std::to_string(from)}));
    const shell_outcome outcome = client_.call(next, {});
    if (const auto* const failure = std::get_if<shell_failure>(&outcome)) {
      return fail(errc::not_found, "the receipt broke off behind {} bytes: {}", from,
                  compute::printable(failure->message, sentence_bytes_max));
    }
    const json& page = std::get<json>(outcome);
    OVIR_ASSIGN(const std::vector<std::byte> bytes, bytes_of_page(page));
    size = page.value("size", std::uint64_t{0});
    if (bytes.empty() || size > limits::receipt_bytes_max || page.value("from", size) != from) {
      return fail(errc::malformed, "the node sent a page of a receipt that is none");
    }
    OVIR_TRY(file.append(bytes));
    from += bytes.size();
  }
  return {};
}

// The receipt goes into the file that was named, and the file's name into the document.
result<void> shell_session::keep_receipt(const std::string& path, json& data) {
  const json sent = std::exchange(data["receipt"], nullptr);
  if (sent.is_object() && sent.contains("error") && sent["error"].is_string()) {
    return fail(
        errc::not_found, "there is no receipt: {}",
        compute::printable(sent["error"].get_ref<const std::string&>(), sentence_bytes_max));
  }
  OVIR_ASSIGN(const auto file, environment_.stage(path));
  if (sent.is_object() && sent.contains("size")) {
    OVIR_TRY(fetch_receipt(data, *file));
  } else {
    OVIR_ASSIGN(const std::vector<std::byte> bytes, bytes_of_page(sent));
    OVIR_TRY(file->append(bytes));
  }
  OVIR_TRY(file->commit());
  data["receipt"] = path;
  return {};
}

// The same of a trace.
result<void> shell_session::keep_trace(const std::string& path, json& data) {
  const json sent = std::exchange(data["trace"], nullptr);
  if (sent.is_object() && sent.contains("error") && sent["error"].is_string()) {
    return fail(
        errc::not_found, "there is no trace: {}",
        compute::printable(sent["error"].get_ref<const std::string&>(), sentence_bytes_max));
  }
  if (!sent.is_object() || !sent.contains("text") || !sent["text"].is_string()) {
    return fail(errc::not_found, "the node sent no trace; it may be of an older version, or the "
                                 "request was asked for without one");
  }
  OVIR_ASSIGN(const auto file, environment_.stage(path));
  OVIR_TRY(file->append(std::as_bytes(std::span{sent["text"].get_ref<const std::string&>()})));
  OVIR_TRY(file->commit());
  data["trace"] = path;
  return {};
}

/// A head that the shell keeps in a file goes to the keeper, and its proof into one.
result<void> shell_session::read_head(shell_command& command) const {
  const std::string path = command.args.value("amount", "");
  OVIR_ASSIGN(const std::string text, environment_.read(path, limits::ledger_entry_bytes_max));
  command.args["amount"] = to_hex(std::as_bytes(std::span{text}));
  return {};
}

result<void> shell_session::keep_proof(const std::string& path, json& data) {
  const json sent = std::exchange(data["proof"], nullptr);
  if (!sent.is_string()) {
    return fail(errc::not_found, "the node sent nothing that proves anything; --output is for "
                                 "ledger prove and ledger head");
  }
  OVIR_ASSIGN(const std::vector<std::byte> bytes,
              bytes_from_hex(sent.get_ref<const std::string&>(), "the proof the node sent",
                             limits::admin_bytes_max));
  OVIR_ASSIGN(const auto file, environment_.stage(path));
  OVIR_TRY(file->append(bytes));
  OVIR_TRY(file->commit());
  data["proof"] = path;
  return {};
}

shell_outcome shell_session::run_command(shell_command command) {
  std::string proof;
  if (command.spec->name == "ledger") {
    proof = command.args.value("output", "");
    command.args.erase("output");
    if (command.args.value("action", "") == "prove" &&
        command.args.value("subject", "") == "since") {
      if (const auto read = read_head(command); !read) {
        return shell_failure{read.error()};
      }
    }
  }
  std::string trace;
  if (command.spec->name == "run" && command.args.contains("trace")) {
    trace = command.args["trace"].get<std::string>();
    command.args["trace"] = true;
  }
  std::string receipt;
  if (command.spec->name == "run" && command.args.contains("receipt")) {
    receipt = command.args["receipt"].get<std::string>();
    command.args["receipt"] = true;
  }
  if (command.spec->name == "run") {
    std::array<std::byte, 16> chance{};
    environment_.random(chance);
    complete_run(command, chance);
  }
  if (as_json_ && command.args.value("follow", false)) {
    return error{errc::invalid_argument, "top --follow has no end and --json is one document; "
                                         "leave one of them out"};
  }
  shell_listener listener;
  listener.bunch = as_json_ ? unseen_bunch : 1;
  listener.text = [this](std::string_view text) { show(for_terminal(text)); };
  listener.event = [this, &command](const json& event) { show_event(command, event); };
  listener.note = [](std::string_view note) {
    write_note(fmt::format("\n[{}]\n", compute::printable(note, sentence_bytes_max)));
  };
  auto outcome = client_.call(command, listener);
  if (const auto* const failure = std::get_if<shell_failure>(&outcome);
      failure != nullptr && failure->code == "elsewhere" && elsewhere_) {
    outcome = elsewhere_(*failure, command, listener);
  }
  if (auto* const data = std::get_if<json>(&outcome);
      data != nullptr && !receipt.empty() && command.args.value("wait", true)) {
    if (const auto kept = keep_receipt(receipt, *data); !kept) {
      return shell_failure{kept.error()};
    }
  }
  if (auto* const data = std::get_if<json>(&outcome); data != nullptr && !proof.empty()) {
    if (const auto kept = keep_proof(proof, *data); !kept) {
      return shell_failure{kept.error()};
    }
  }
  if (auto* const data = std::get_if<json>(&outcome);
      data != nullptr && !trace.empty() && command.args.value("wait", true)) {
    if (const auto kept = keep_trace(trace, *data); !kept) {
      return shell_failure{kept.error()};
    }
  }
  if (const auto* const data = std::get_if<json>(&outcome); data != nullptr && !as_json_) {
    if (answers_with_text(command)) {
      show("\n");
      write_note(render(command.spec->name, *data));
    } else if (!command.args.value("follow", false)) {
      show(render(command.spec->name, *data));
    }
  }
  return outcome;
}

shell_outcome shell_session::run_words(const std::vector<std::string>& words) {
  if (words[0] == "exit" || words[0] == "quit") {
    over_ = true;
    return json::object();
  }
  if (words[0] == "help") {
    const auto text = words.size() > 1 ? help_text(words[1]) : result<std::string>{help_text()};
    if (!text) {
      return text.error();
    }
    show(*text);
    return json{{"help", *text}};
  }
  OVIR_ASSIGN(shell_command command, parse_command(words));
  return run_command(std::move(command));
}

result<exit_code> shell_session::report(const shell_failure& failure) const {
  write_note(
      fmt::format("ovir shell: {}\n", compute::printable(failure.message, sentence_bytes_max)));
  return exit_code_of(failure);
}

result<exit_code> shell_session::run_line(std::string_view line) {
  const auto commands = split_line(line);
  json documents = json::array();
  result<exit_code> end{exit_code::done};
  if (!commands) {
    documents.push_back(document_of(shell_failure{commands.error()}));
    end = report(commands.error());
  } else {
    for (const std::vector<std::string>& words : *commands) {
      const shell_outcome outcome = run_words(words);
      const auto* const failure = std::get_if<shell_failure>(&outcome);
      documents.push_back(failure == nullptr ? *std::get_if<json>(&outcome)
                                             : document_of(*failure));
      if (failure != nullptr) {
        end = report(*failure);
        break;
      }
      if (over_) {
        break;
      }
    }
  }
  if (as_json_) {
    OVIR_TRY(write_document(documents.size() == 1 ? documents[0] : documents));
  }
  if (output_failed_) {
    return *output_failed_;
  }
  return end;
}

} // namespace ovir::apps
