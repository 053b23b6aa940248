// The bytes of docs/formats/attestation.md, spelled out field by field. A change here is a new
// version of the format.
#include "messages/digest.hpp"
#include "messages/evidence/attestation.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir {
namespace {

std::string attestation_hex(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    out += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  }
  return out;
}

/// The key pairs of RFC 8032, section 7.1: test 1 is the attestor, test 2 the node.
secret_key rfc_key(std::string_view seed) {
  const digest bytes = digest_from_hex(seed).value();
  return secret_key::from_seed(std::as_bytes(std::span{bytes.bytes}));
}

attestation attestation_example() {
  return attest(rfc_key("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
                rfc_key("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").id(),
                {"Example Ltd", "eu", "tdx"}, 1'800'000'000);
}

TEST(attestation_golden, an_attestation_is_these_bytes) {
  EXPECT_EQ(attestation_hex(to_bytes(attestation_example())),
            "4f564131"                                                         // "OVA1"
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c" // node
            "00d2496b00000000"                                                 // expires
            "0b4578616d706c65204c7464"                                         // operator
            "026575"                                                           // region
            "03746478"                                                         // confidential
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" // attestor
            "67489ebb990641a32ff4ed7782c719611a1fa7c1c12fac8c2215fca73f059499"
            "c9d60e56d091d2189011fd3123dcfafce46736362cdae0394a34b6607c173208");
}

TEST(attestation_golden, what_is_signed_is_the_digest_of_all_before_the_attestor) {
  const auto bytes = to_bytes(attestation_example());
  EXPECT_EQ(to_hex(hash("ovir/attestation/v1", std::span{bytes}.first(bytes.size() - 96))),
            "d0ac3241a3628722ca12d3d89ab1c6b3db506916d89d4ac1a640dafe21a53df3");
}

TEST(attestation_golden, and_this_text) {
  EXPECT_EQ(to_text(attestation_example()),
            "ovir-attested-T1ZBMT1AF8PoQ4lakrcKp00bfrycmCzPLsSWjMDNVfEq9GYMANJJawAAAAALRXhhbX"
            "BsZSBMdGQCZXUDdGR411qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURpnSJ67mQZBoy_07XeCxx"
            "lhGh-nwcEvrIwiFfynPwWUmcnWDlbQkdIYkBH9MSPc-vzkZzY2LNrgOUo0tmB8FzII");
}

} // namespace
} // namespace ovir
