// What the fuzzers begin with: of each format with a version, something that this version reads. An
// input of an earlier one ends at the version, and the fuzzer looks at nothing behind it.
#include "messages/evidence/addendum.hpp"
#include "messages/evidence/audit.hpp"
#include "messages/evidence/capsule.hpp"
#include "messages/evidence/compact_receipt.hpp"
#include "messages/evidence/evidence.hpp"
#include "messages/evidence/fast_record.hpp"
#include "messages/evidence/prepared.hpp"
#include "messages/evidence/receipt.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"
#include "verify/receipt_replay.hpp"
#include "verify/units/model_roots.hpp"
#include "verify/units/unit_proof.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

namespace ovir::test {
namespace {

struct format {
  const char* corpus;
  const char* kind; ///< one of several in the same corpus
  std::function<bool(std::span<const std::byte>)> reads;
};

template <class Message>
bool is_audit(std::span<const std::byte> bytes) {
  const auto read = decode_audit(bytes);
  return read && std::holds_alternative<Message>(*read);
}

template <conviction_kind Kind>
bool convicts(std::span<const std::byte> bytes) {
  const auto read = decode_audit(bytes);
  const auto* const c = read ? std::get_if<conviction>(&*read) : nullptr;
  return c != nullptr && c->kind == Kind && compute::check_conviction(*c).has_value();
}

const format formats[] = {
    {"receipt", "whole", [](auto bytes) { return decode_receipt(bytes).has_value(); }},
    {"receipt", "compact", [](auto bytes) { return decode_compact(bytes).has_value(); }},
    {"receipt", "opening", [](auto bytes) { return decode_opening(bytes).has_value(); }},
    {"evidence", "batch", [](auto bytes) { return decode_evidence(bytes).has_value(); }},
    {"capsule", "capsule", [](auto bytes) { return decode_capsule(bytes).has_value(); }},
    {"reveal", "reveal", [](auto bytes) { return decode_reveal(bytes).has_value(); }},
    {"prepared", "prepared", [](auto bytes) { return decode_prepared(bytes).has_value(); }},
    {"fast_record", "record", [](auto bytes) { return decode_fast_record(bytes).has_value(); }},
    {"audit", "offer", is_audit<audit_offer>},
    {"audit", "question", is_audit<audit_question>},
    {"audit", "answer", is_audit<audit_answer>},
    {"audit", "addendum", is_audit<audit_addendum>},
    {"unit_proof", "roots", [](auto bytes) { return proofs::decode_roots(bytes).has_value(); }},
    {"unit_proof", "proof",
     [](auto bytes) { return proofs::decode_unit_proof(bytes).has_value(); }},
    {"addenda", "file", [](auto bytes) { return decode_addenda(bytes).has_value(); }},
    {"audit", "reveal", is_audit<audit_reveal>},
    {"audit", "vouch", is_audit<audit_vouch>},
    {"audit", "conviction", is_audit<conviction>},
    {"audit", "conviction that holds", convicts<conviction_kind::replay>},
    {"audit", "equivocation that holds", convicts<conviction_kind::equivocation>},
};

TEST(fuzz_corpora, begin_with_what_this_version_reads) {
  for (const format& f : formats) {
    std::size_t read = 0;
    for (const auto& entry : std::filesystem::directory_iterator{
             source_file(std::string{"tests/fuzz/corpus/"} + f.corpus)}) {
      const std::string text = read_file(entry.path());
      read += f.reads(std::as_bytes(std::span{text})) ? 1 : 0;
    }
    EXPECT_GT(read, 0U) << f.corpus << ": no " << f.kind;
  }
}

} // namespace
} // namespace ovir::test
