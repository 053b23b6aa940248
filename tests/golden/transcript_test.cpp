// The bytes of docs/formats/transcript.md, once spelled out field by field and once for the model
// in assets/. A change here is a new version of the format, or a broken promise.
#include "compute/model/transcript.hpp"
#include "node/local_cluster.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <utility>
#include <vector>

namespace ovir::compute {

namespace {

std::vector<std::byte> little_endian(std::uint64_t value, std::size_t bytes) {
  std::vector<std::byte> out;
  for (std::size_t i = 0; i < bytes; ++i) {
    out.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
  return out;
}

/// Fields of one hash, joined byte by byte as the page says, without the code under test.
class fields {
public:
  fields& u32(std::uint32_t value) { return append(little_endian(value, 4)); }
  fields& u64(std::uint64_t value) { return append(little_endian(value, 8)); }
  fields& f32(float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, 4);
    return u32(bits);
  }
  fields& text(std::string_view value) {
    u64(value.size());
    for (const char c : value) {
      bytes_.push_back(static_cast<std::byte>(c));
    }
    return *this;
  }
  fields& of(const digest& d) {
    for (const std::uint8_t byte : d.bytes) {
      bytes_.push_back(static_cast<std::byte>(byte));
    }
    return *this;
  }
  [[nodiscard]] digest hashed(std::string_view domain) const { return hash(domain, bytes_); }

private:
  fields& append(const std::vector<std::byte>& more) {
    bytes_.insert(bytes_.end(), more.begin(), more.end());
    return *this;
  }
  std::vector<std::byte> bytes_;
};

} // namespace

TEST(transcript_golden, a_root_is_what_the_page_says_field_by_field) {
  // Two positions of two values after layer 0 of a two-layer model; a draw from position 1.
  const float rows[] = {1.0F, -2.0F, 0.5F, 3.0F};
  const float logits[] = {0.25F, -1.0F, 4.0F};
  const token_id ids[] = {5, 6, 2};
  unit_digests units{{0, 1}};
  std::vector<unit_leaf> done;
  units.add(0, 0, 2, rows, 2, done);
  transcript t;
  for (const unit_leaf& leaf : units.open_leaves()) {
    ASSERT_TRUE(t.add_unit(leaf));
  }
  ASSERT_TRUE(t.add_logits(1, logits_digest(1, logits)));

  fields boundary;
  boundary.u32(0).u32(0).u32(2);
  for (const float value : rows) {
    boundary.f32(value);
  }
  boundary.u32(2);
  fields drawn;
  drawn.u32(1).u32(3);
  for (const float value : logits) {
    drawn.f32(value);
  }
  const digest unit = fields{}
                          .u32(0)
                          .u32(0)
                          .u32(2)
                          .of(boundary.hashed("ovir/transcript/v1/boundary"))
                          .hashed("ovir/transcript/v1/unit");
  const digest draw = fields{}
                          .u32(1)
                          .of(drawn.hashed("ovir/transcript/v1/logits"))
                          .hashed("ovir/transcript/v1/draw");
  const digest tokens = fields{}.u32(3).u32(5).u32(6).u32(2).hashed("ovir/transcript/v1/tokens");
  const digest expected = fields{}
                              .text("exact-1/7c004b2d")
                              .u32(1)
                              .u32(2)
                              .u32(1)
                              .of(unit)
                              .u32(1)
                              .of(draw)
                              .of(tokens)
                              .hashed("ovir/transcript/v1/root");
  const auto root = t.root(1, 2, ids);
  ASSERT_TRUE(root) << root.error().message;
  EXPECT_EQ(to_hex(*root), to_hex(expected));
  EXPECT_EQ(to_hex(*root), "aaa849b19a89115c5e4d5d1f751ece5669a42d34c535b399dd2fd6bb9385eb95");
}

TEST(transcript_golden, the_embedded_model_tells_the_same_tale_for_ever) {
  const test::loaded_model m{test::source_file("assets/tales-q4_k_m.gguf")};
  const auto vocabulary = tokenizer::make(m.file()).value();
  const auto env = storage::make_env_posix();
  actors::generation_request request;
  request.prompt = vocabulary->encode("Once upon a time", {}).value();
  request.max_tokens = 48;
  for (const auto& [temperature, expected] :
       {std::pair{0.0F, "f08ea716f21c0c8dc02030c4306713d9a44914c4ce8a40bc39ff209ce9b7ea02"},
        std::pair{0.8F, "57128944922b8319a412133fb553fa361bbc98ff9644406cfd90a43a674e4ed9"}}) {
    request.sampling.temperature = temperature;
    request.sampling.seed = 7;
    auto cluster = supervision::local_cluster::start(
        m.get(), *vocabulary, *select_kernels(std::nullopt).value(), *env, {.stages = 2});
    ASSERT_TRUE(cluster) << cluster.error().message;
    const auto report = (*cluster)->run(request, {}, nullptr);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(to_hex(report->transcript), expected) << "temperature " << temperature;
  }
}

} // namespace ovir::compute
