#include "messages/evidence/addendum.hpp"

#include "messages/evidence/addendum_codec.hpp"

#include <algorithm>
#include <numeric>

// Grammar: docs/formats/addenda.md.
namespace ovir {

namespace {

using namespace evidence_codec;

constexpr std::uint64_t addenda_magic = 0x4e444441'5249564fU; // "OVIRADDN"
constexpr std::uint16_t addenda_version = 1;
constexpr std::string_view addendum_domain = "ovir/audit/v1/addendum";
constexpr std::string_view file_name = "a file of addenda";

std::span<const std::byte> bytes_of(const digest& d) { return std::as_bytes(std::span{d.bytes}); }

bool is_before(const unit_finding& a, const unit_finding& b) {
  return std::pair{a.stage, a.window} < std::pair{b.stage, b.window};
}

result<std::vector<addendum>> read_file(audit_schema::Addenda::Reader in, std::size_t present) {
  if (in.getMagic() != addenda_magic) {
    return fail(errc::malformed, "these bytes are not {}", file_name);
  }
  if (in.getVersion() != addenda_version) {
    return fail(errc::unsupported, "{} of version {}; this one knows {}", file_name,
                in.getVersion(), addenda_version);
  }
  const auto list = in.getAll();
  OVIR_TRY(all_there(list, word_bytes, present, "addenda"));
  if (list.size() > limits::addenda_per_receipt_max) {
    return fail(errc::over_limit, "{} addenda; {} at most are about one receipt", list.size(),
                limits::addenda_per_receipt_max);
  }
  std::vector<addendum> all;
  for (const auto one : list) {
    OVIR_ASSIGN(auto a, read_addendum(one, present));
    if (!all.empty() && all.front().receipt != a.receipt) {
      return fail(errc::malformed, "addenda about different receipts");
    }
    all.push_back(std::move(a));
  }
  return all;
}

} // namespace

namespace evidence_codec {

std::size_t words_of_addendum(const addendum& a) {
  constexpr std::size_t fixed_bytes = 320 + limits::software_bytes_max;
  return fixed_bytes / word_bytes + a.units.size();
}

void write_addendum(audit_schema::Addendum::Builder out, const addendum& a) {
  out.setReceipt(data_of(a.receipt));
  out.setVerifier(data_of_key(a.verifier));
  out.setKernels(static_cast<std::uint8_t>(a.means.kernels));
  out.setSoftware(data_of(std::string_view{a.means.software}));
  out.setTime(a.unix_seconds);
  auto units = out.initUnits(static_cast<kj::uint>(a.units.size()));
  for (kj::uint i = 0; i < units.size(); ++i) {
    units[i].setStage(a.units[i].stage);
    units[i].setWhat(static_cast<std::uint8_t>(a.units[i].what));
    units[i].setWindow(a.units[i].window);
  }
  out.setProof(data_of(a.proof));
}

result<addendum> read_addendum(audit_schema::Addendum::Reader in, std::size_t present) {
  addendum a;
  OVIR_ASSIGN(a.receipt, fixed<digest>(in.getReceipt(), "a receipt's digest"));
  OVIR_ASSIGN(a.verifier, fixed<node_id>(in.getVerifier(), "a verifier's key"));
  OVIR_ASSIGN(a.means.kernels, kernels_from(in.getKernels()));
  OVIR_ASSIGN(a.means.software,
              text(in.getSoftware(), limits::software_bytes_max, "a verifier's software"));
  a.unix_seconds = in.getTime();
  const auto units = in.getUnits();
  OVIR_TRY(all_there(units, word_bytes, present, "findings"));
  if (units.size() > limits::addendum_units_max) {
    return fail(errc::over_limit, "{} findings; {} at most are in one addendum", units.size(),
                limits::addendum_units_max);
  }
  a.units.reserve(units.size());
  for (const auto one : units) {
    if (one.getWhat() < 1 || one.getWhat() > 3) {
      return fail(errc::unsupported, "a finding of kind {} is not known to this version",
                  one.getWhat());
    }
    a.units.push_back({one.getStage(), one.getWindow(), static_cast<audit_finding>(one.getWhat())});
  }
  OVIR_ASSIGN(a.proof, fixed<signature>(in.getProof(), "an addendum's signature"));
  OVIR_TRY(check(a));
  return a;
}

} // namespace evidence_codec

digest addendum_digest(const addendum& a) {
  hasher h{"ovir/audit/v1/addendum-fields"};
  h.update(a.receipt)
      .update(std::as_bytes(std::span{a.verifier.key}))
      .update_u32(static_cast<std::uint32_t>(a.means.kernels))
      .update_text(a.means.software)
      .update_u64(a.unix_seconds)
      .update_u32(static_cast<std::uint32_t>(a.units.size()));
  for (const unit_finding& u : a.units) {
    h.update_u32(u.stage).update_u32(u.window).update_u32(static_cast<std::uint32_t>(u.what));
  }
  return h.finish();
}

void sign_addendum(addendum& a, const secret_key& key) {
  a.verifier = key.id();
  a.proof = key.sign(addendum_domain, bytes_of(addendum_digest(a)));
}

bool verify_addendum(const addendum& a) {
  return verify(a.verifier, addendum_domain, bytes_of(addendum_digest(a)), a.proof);
}

result<void> check(const addendum& a) {
  if (a.units.empty() || a.units.size() > limits::addendum_units_max) {
    return fail(errc::malformed, "an addendum of {} findings", a.units.size());
  }
  if (std::adjacent_find(a.units.begin(), a.units.end(), [](const auto& x, const auto& y) {
        return !is_before(x, y);
      }) != a.units.end()) {
    return fail(errc::malformed, "findings of an addendum that do not ascend");
  }
  if (a.means.software.size() > limits::software_bytes_max) {
    return fail(errc::over_limit, "a verifier's software of {} bytes", a.means.software.size());
  }
  return {};
}

result<std::vector<std::byte>> encode_addenda(std::span<const addendum> all) {
  const std::size_t words = std::accumulate(
      all.begin(), all.end(), std::size_t{16},
      [](std::size_t sum, const addendum& a) { return sum + words_of_addendum(a); });
  if (all.size() > limits::addenda_per_receipt_max ||
      words * word_bytes > limits::addenda_bytes_max) {
    return fail(errc::over_limit, "{} addenda of {} bytes are too much for one receipt", all.size(),
                words * word_bytes);
  }
  return write_message<audit_schema::Addenda>(words, [&](audit_schema::Addenda::Builder out) {
    out.setMagic(addenda_magic);
    out.setVersion(addenda_version);
    auto list = out.initAll(static_cast<kj::uint>(all.size()));
    for (kj::uint i = 0; i < list.size(); ++i) {
      write_addendum(list[i], all[i]);
    }
  });
}

result<std::vector<addendum>> decode_addenda(std::span<const std::byte> bytes) {
  OVIR_ASSIGN(auto all, (read_message<audit_schema::Addenda, std::vector<addendum>>(
                            bytes, limits::addenda_bytes_max, file_name,
                            [](audit_schema::Addenda::Reader in, std::size_t present) {
                              return read_file(in, present);
                            })));
  OVIR_ASSIGN(const auto canonical, encode_addenda(all));
  OVIR_TRY(same_bytes(canonical, bytes, file_name));
  return all;
}

} // namespace ovir
