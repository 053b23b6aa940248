#include "ledger/rules/proof.hpp"

#include "ledger/log/codec.hpp"
#include "ledger/rules/command.hpp"
#include "messages/limits/ledger.hpp"

namespace ovir::ledger {

namespace {

enum class tag : std::uint8_t {
  head = 1,
  acknowledgement = 2,
  fork = 3,
  consistency = 4,
  entry_proof = 5,
};
constexpr std::uint8_t version = 1;

template <class... Handlers>
struct handlers : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
handlers(Handlers...) -> handlers<Handlers...>;

/// A part with bytes of its own, after its length.
void write_part(byte_writer& w, const std::vector<std::byte>& part) {
  w.number(static_cast<std::uint32_t>(part.size()));
  w.bytes(part.data(), part.size());
}

result<std::span<const std::byte>> read_part(byte_reader& r) {
  const std::size_t size = r.number<std::uint32_t>();
  if (size > limits::ledger_entry_bytes_max || size > r.rest().size()) {
    return fail(errc::over_limit,
                "a part of the proof claims {} bytes, more than there are or may "
                "be",
                size);
  }
  const auto part = r.rest().first(size);
  r.skip(size);
  return part;
}

void write_path(byte_writer& w, const std::vector<digest>& path) {
  w.number(static_cast<std::uint8_t>(path.size()));
  for (const digest& d : path) {
    w.write(d);
  }
}

result<std::vector<digest>> read_path(byte_reader& r) {
  const std::size_t count = r.number<std::uint8_t>();
  if (count > limits::ledger_proof_nodes_max) {
    return fail(errc::over_limit, "a proof has {} digests; at most {} are possible", count,
                limits::ledger_proof_nodes_max);
  }
  std::vector<digest> path(count);
  for (digest& d : path) {
    r.read(d);
  }
  return path;
}

result<void> check_begin(byte_reader& r, tag what, std::string_view name) {
  if (r.number<std::uint8_t>() != static_cast<std::uint8_t>(what)) {
    return fail(errc::malformed, "these bytes are no {}", name);
  }
  if (const auto of = r.number<std::uint8_t>(); of != version) {
    return fail(errc::unsupported, "the {} is of version {}; this program reads {}", name, of,
                version);
  }
  return {};
}

result<void> check_end(const byte_reader& r, std::string_view name) {
  return r.finished()
             ? result<void>{}
             : fail(errc::malformed, "the {} has too {} bytes", name, r.sound() ? "many" : "few");
}

std::string name_of(const signed_head& h) { return fmt::format("the head of {}", h.head.size); }

void check_head(const signed_head& h, std::vector<std::string>& wrong) {
  if (!signed_by_its_keeper(h)) {
    wrong.push_back(fmt::format("{} is not signed by the keeper it names, {}", name_of(h),
                                short_name(h.keeper)));
  }
}

void check(const consistency& c, std::vector<std::string>& wrong) {
  check_head(c.first, wrong);
  check_head(c.second, wrong);
  if (c.first.head.ledger != c.second.head.ledger || c.first.keeper != c.second.keeper) {
    wrong.emplace_back("the two heads are of different ledgers or keepers");
  }
  if (c.first.head.size > 0 &&
      !verify_consistency(c.first.head.size, c.first.head.root, c.second.head.size,
                          c.second.head.root, c.path)) {
    wrong.push_back(fmt::format("the path does not show that the log of {} entries begins with "
                                "that of {}; keep both heads",
                                c.second.head.size, c.first.head.size));
  }
  if (c.first.head.size == 0) {
    wrong.emplace_back("a head of no entries promises nothing");
  }
  if (c.first.head.size == c.second.head.size && c.first.head.chain != c.second.head.chain) {
    wrong.emplace_back(
        "two heads of one size have different hash chains; this convicts the keeper");
  }
}

void check(const entry_proof& p, std::vector<std::string>& wrong) {
  check_head(p.head, wrong);
  if (leaf_hash(p.entry) != p.in.leaf) {
    wrong.emplace_back("the entry's bytes are not those of the leaf");
  }
  if (!proves(p.in, p.head.head)) {
    wrong.push_back(fmt::format("the path does not lead from entry {} to the root of {}",
                                p.in.index, name_of(p.head)));
  }
  if (const auto e = decode_entry(p.entry); !e) {
    wrong.push_back("the entry is none a ledger takes: " + e.error().message);
  }
}

} // namespace

std::vector<std::byte> to_bytes(const consistency& c) {
  std::vector<std::byte> out;
  byte_writer w{out};
  w.number(static_cast<std::uint8_t>(tag::consistency));
  w.number(version);
  write_part(w, to_bytes(c.first));
  write_part(w, to_bytes(c.second));
  write_path(w, c.path);
  return out;
}

result<consistency> consistency_from(std::span<const std::byte> bytes) {
  byte_reader r{bytes};
  OVIR_TRY(check_begin(r, tag::consistency, "proof of consistency"));
  consistency c;
  for (signed_head* h : {&c.first, &c.second}) {
    OVIR_ASSIGN(const auto part, read_part(r));
    OVIR_ASSIGN(*h, signed_head_from(part));
  }
  OVIR_ASSIGN(c.path, read_path(r));
  OVIR_TRY(check_end(r, "proof of consistency"));
  return c;
}

std::vector<std::byte> to_bytes(const entry_proof& p) {
  std::vector<std::byte> out;
  byte_writer w{out};
  w.number(static_cast<std::uint8_t>(tag::entry_proof));
  w.number(version);
  write_part(w, p.entry);
  write_part(w, to_bytes(p.head));
  w.number(p.in.index);
  w.write(p.in.leaf);
  write_path(w, p.in.path);
  return out;
}

result<entry_proof> entry_proof_from(std::span<const std::byte> bytes) {
  byte_reader r{bytes};
  OVIR_TRY(check_begin(r, tag::entry_proof, "proof of an entry"));
  entry_proof p;
  OVIR_ASSIGN(const auto entry, read_part(r));
  p.entry.assign(entry.begin(), entry.end());
  OVIR_ASSIGN(const auto head, read_part(r));
  OVIR_ASSIGN(p.head, signed_head_from(head));
  p.in.index = r.number<std::uint64_t>();
  r.read(p.in.leaf);
  OVIR_ASSIGN(p.in.path, read_path(r));
  OVIR_TRY(check_end(r, "proof of an entry"));
  return p;
}

bool begins_like_proof(std::span<const std::byte> bytes) noexcept {
  return bytes.size() >= 2 && bytes[0] >= std::byte{1} && bytes[0] <= std::byte{5};
}

result<any_proof> proof_from(std::span<const std::byte> bytes) {
  const auto as_any = [](auto decoded) -> result<any_proof> {
    if (!decoded) {
      return decoded.error();
    }
    return any_proof{std::move(*decoded)};
  };
  if (begins_like_proof(bytes)) {
    switch (static_cast<tag>(bytes[0])) {
    case tag::head: return as_any(signed_head_from(bytes));
    case tag::acknowledgement: return as_any(acknowledgement_from(bytes));
    case tag::fork: return as_any(fork_evidence_from(bytes));
    case tag::consistency: return as_any(consistency_from(bytes));
    case tag::entry_proof: return as_any(entry_proof_from(bytes));
    }
  }
  return fail(errc::malformed, "the file is no head, promise or proof of a ledger");
}

std::vector<std::string> check_proof(const any_proof& p) {
  std::vector<std::string> wrong;
  std::visit(handlers{[&](const signed_head& h) { check_head(h, wrong); },
                      [&](const acknowledgement& a) {
                        check_head(a.head, wrong);
                        if (!proves(a.entry, a.head.head)) {
                          wrong.push_back(
                              fmt::format("the path does not lead from entry {} to the root of {}",
                                          a.entry.index, name_of(a.head)));
                        }
                      },
                      [&](const fork_evidence& e) {
                        const auto convicts = check_fork(e, e.first.head.ledger, e.first.keeper);
                        if (!convicts) {
                          wrong.push_back(convicts.error().message);
                        }
                      },
                      [&](const auto& other) { check(other, wrong); }},
             p);
  return wrong;
}

std::vector<signed_head> heads_in(const any_proof& p) {
  return std::visit(
      handlers{[](const signed_head& h) { return std::vector<signed_head>{h}; },
               [](const acknowledgement& a) { return std::vector<signed_head>{a.head}; },
               [](const entry_proof& e) { return std::vector<signed_head>{e.head}; },
               [](const auto& two) {
                 return std::vector<signed_head>{two.first, two.second};
               }},
      p);
}

} // namespace ovir::ledger
