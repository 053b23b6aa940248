#include "tests/hostile/audit_bytes.hpp"

#include "messages/evidence/audit.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <cstring>

namespace ovir::test {

namespace {

capnp::Data::Reader data_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()};
}
capnp::Data::Reader data_of(const node_id& node) { return {node.key.data(), node.key.size()}; }
capnp::Data::Reader data_of(const digest& d) { return {d.bytes.data(), d.bytes.size()}; }

template <class Write>
std::vector<std::byte> message_of(std::size_t payload, const Write& write) {
  capnp::MallocMessageBuilder builder{static_cast<unsigned>(payload / 8 + 1'024)};
  auto root = builder.initRoot<audit_schema::AuditMessage>();
  root.setVersion(1);
  write(root);
  const auto words = capnp::messageToFlatArray(builder);
  const auto bytes = words.asBytes();
  std::vector<std::byte> out(bytes.size());
  std::memcpy(out.data(), bytes.begin(), out.size());
  return out;
}

void write_place(audit_schema::Place::Builder out, std::uint32_t window, std::uint32_t layer) {
  out.setPart(1);
  out.setWindow(window);
  out.setLayer(layer);
  out.setPosition(0);
}

} // namespace

digest invented(std::string_view what, std::uint64_t number) {
  return hasher{"ovir/test/invented"}.update_text(what).update_u64(number).finish();
}

secret_key throwaway(std::uint64_t number) {
  const digest seed = invented("key", number);
  return secret_key::from_seed(std::as_bytes(std::span{seed.bytes}));
}

std::vector<std::byte> accusation_bytes(const node_id& guilty, std::uint32_t window,
                                        std::uint32_t layer, const digest& computed,
                                        const std::vector<std::byte>& receipt,
                                        const std::vector<const secret_key*>& judges) {
  const digest name = hash("ovir/audit/v1/receipt", receipt);
  constexpr std::string_view software = "forged";
  const digest fields = hasher{"ovir/audit/v1/verdict-fields"}
                            .update(name)
                            .update_u32(1)
                            .update_u32(window)
                            .update_u32(layer)
                            .update_u32(0)
                            .update(computed)
                            .finish();
  return message_of(receipt.size(), [&](audit_schema::AuditMessage::Builder root) {
    auto c = root.initConviction();
    c.setKind(1);
    c.setGuilty(data_of(guilty));
    write_place(c.initPlace(), window, layer);
    c.setComputed(data_of(computed));
    c.initReceipts(1).set(0, data_of(receipt));
    auto verdicts = c.initVerdicts(static_cast<unsigned>(judges.size()));
    for (unsigned i = 0; i < verdicts.size(); ++i) {
      const std::uint8_t kernels = i % 2 == 0 ? 1 : 2; // two witnesses that look independent
      const digest said = hasher{"ovir/audit/v1/verdict-with-means"}
                              .update(fields)
                              .update_u32(kernels)
                              .update_text(software)
                              .finish();
      const signature proof =
          judges[i]->sign("ovir/audit/v1/verdict", std::as_bytes(std::span{said.bytes}));
      verdicts[i].setVerifier(data_of(judges[i]->id()));
      verdicts[i].setProof({proof.bytes.data(), proof.bytes.size()});
      verdicts[i].setKernels(kernels);
      verdicts[i].setSoftware(data_of(std::as_bytes(std::span{software})));
    }
  });
}

std::vector<std::byte> contradiction_bytes(const node_id& guilty, std::uint32_t window,
                                           std::uint32_t layer, const std::vector<std::byte>& one,
                                           const std::vector<std::byte>& other) {
  return message_of(one.size() + other.size(), [&](audit_schema::AuditMessage::Builder root) {
    auto c = root.initConviction();
    c.setKind(2);
    c.setGuilty(data_of(guilty));
    write_place(c.initPlace(), window, layer);
    c.setComputed(data_of(digest{}));
    auto receipts = c.initReceipts(2);
    receipts.set(0, data_of(one));
    receipts.set(1, data_of(other));
    c.initVerdicts(0);
  });
}

std::vector<std::byte> offer_bytes(bool suspect, const std::vector<std::byte>& receipt) {
  return message_of(receipt.size(), [&](audit_schema::AuditMessage::Builder root) {
    auto offer = root.initOffer();
    offer.setSuspect(suspect);
    offer.setReceipt(data_of(receipt));
  });
}

} // namespace ovir::test
