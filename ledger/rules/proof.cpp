#include "ledger/rules/proof.hpp"

#include "ledger/rules/command.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/wire/fields.hpp"

namespace ovir::ledger {

template <class Io, of_type<consistency> T>
void fields(Io& io, T& c) {
  io.formed(c.first, "a head", limits::ledger_entry_bytes_max, signed_head_from);
  io.formed(c.second, "a head", limits::ledger_entry_bytes_max, signed_head_from);
  io.template list<std::uint8_t>(c.path, "digests of a proof", limits::ledger_proof_nodes_max);
}
template <class Io, of_type<entry_proof> T>
void fields(Io& io, T& p) {
  io.block(p.entry, "an entry", limits::ledger_entry_bytes_max);
  io.formed(p.head, "a head", limits::ledger_entry_bytes_max, signed_head_from);
  io(p.in.index, p.in.leaf);
  io.template list<std::uint8_t>(p.in.path, "digests of a proof", limits::ledger_proof_nodes_max);
}

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

std::string name_of(const signed_head& h) { return fmt::format("the head of {}", h.head.size); }

void check_head(const signed_head& h, std::vector<std::string>& wrong) {
  if (!signatures_hold(h)) {
    wrong.push_back(fmt::format("{} is not signed by the keepers it names, {}", name_of(h),
                                names_of(signers_of(h))));
  }
}

void check(const consistency& c, std::vector<std::string>& wrong) {
  check_head(c.first, wrong);
  check_head(c.second, wrong);
  if (c.first.head.ledger != c.second.head.ledger) {
    wrong.emplace_back("the two heads are of different ledgers");
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
        "two heads of one size have different hash chains; this convicts who signed both");
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
  if (p.in.index == 0 && p.in.leaf != p.head.head.ledger) {
    wrong.emplace_back("entry 0 is not the one that gives the ledger its name");
  }
  const auto e = decode_entry(p.entry);
  if (!e) {
    wrong.push_back("the entry is none a ledger takes: " + e.error().message);
    return;
  }
  if (const auto* const rules = std::get_if<genesis>(&e->what);
      rules != nullptr && !signed_by_majority(p.head, rules->keepers)) {
    wrong.push_back(fmt::format("{} is not signed by more than half of the keepers that this entry "
                                "names, {}",
                                name_of(p.head), names_of(rules->keepers)));
  }
}

} // namespace

std::vector<std::byte> to_bytes(const consistency& c) {
  return tagged_bytes(static_cast<std::uint8_t>(tag::consistency), version, c);
}

result<consistency> consistency_from(std::span<const std::byte> bytes) {
  return from_tagged<consistency>(bytes, static_cast<std::uint8_t>(tag::consistency), version,
                                  "proof of consistency");
}

std::vector<std::byte> to_bytes(const entry_proof& p) {
  return tagged_bytes(static_cast<std::uint8_t>(tag::entry_proof), version, p);
}

result<entry_proof> entry_proof_from(std::span<const std::byte> bytes) {
  return from_tagged<entry_proof>(bytes, static_cast<std::uint8_t>(tag::entry_proof), version,
                                  "proof of an entry");
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
                        const auto convicts =
                            check_fork(e, e.first.head.ledger, signers_of(e.first));
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
