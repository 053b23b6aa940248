// A scheduler that opens a session of one model and orders signatures as another: what came of them
// would convict the stage, though it computed all that it was asked to.
#include "actors/stage/stage_evidence.hpp"
#include "messages/evidence/receipt.hpp"
#include "tests/hostile/hostile_orders.hpp"

#include <chrono>
#include <cstring>

namespace ovir::test {
namespace {

using namespace actors;

constexpr std::uint32_t window = limits::window_positions;
/// In which a stage that is still ours has stated a window.
constexpr std::chrono::seconds statement_wait{4};
/// The driver is no member, so that every 250 ms its requests are offered to another scheduler,
/// which may take one over before the stage has stated anything to us.
constexpr int tries_max = 10;

class hole_02 : public hostile_orders {
protected:
  /// What an honest lead would order for this request.
  [[nodiscard]] evidence_order order_for(const request_log& log) const {
    const request_facts asked{log.id,
                              std::string{compute::profile_name},
                              log.model,
                              layers,
                              log.prompt,
                              {log.sampling.temperature, log.sampling.top_k, log.sampling.top_p,
                               log.sampling.min_p, log.sampling.repeat_penalty, log.sampling.seed,
                               log.sampling.constraint},
                              log.max_tokens,
                              log.stop};
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
    return {terms_of(asked), static_cast<std::uint64_t>(seconds) + 600};
  }

  /// The tokens of the first window, signed as the order says.
  [[nodiscard]] static frame_bytes signed_tokens(const evidence_order& order,
                                                 const std::vector<token_id>& tokens) {
    const secret_key key = attacker_key(attacker::scheduler);
    const evidence_signer by{{}, key.id(), "hostile"};
    link_signature link{0, window, token_window_digest(0, tokens), {}};
    link.proof = sign_link(key, link_digest(order.terms, by, 0, window, link.output));
    evidence_batch batch;
    batch.request = order.terms.request;
    batch.records.signer = by;
    batch.links.push_back(link);
    return evidence_frame(order.terms.request, epoch{1}, batch);
  }

  /// What the stage stated, from its frames to the lead.
  [[nodiscard]] static stage_records statements_to(hostile_member& lead) {
    stage_records known;
    while (known.statements.empty() || known.commitments.empty()) {
      const std::vector<std::byte> header = lead.data.receive(16, statement_wait);
      std::uint32_t size = 0;
      std::memcpy(&size, header.data(), header.empty() ? 0 : sizeof size);
      const std::vector<std::byte> body = lead.data.receive(size);
      if (body.empty()) {
        return known;
      }
      const auto view = decode_frame(body);
      if (header[4] != std::byte{1} || !view || view->header.kind != frame_kind::evidence) {
        continue;
      }
      if (const auto batch = decode_evidence(view->tensor)) {
        const stage_records& more = batch->records;
        known.signer = more.signer;
        known.commitments.insert(known.commitments.end(), more.commitments.begin(),
                                 more.commitments.end());
        known.statements.insert(known.statements.end(), more.statements.begin(),
                                more.statements.end());
      }
    }
    return known;
  }

  /// Lets the first stage compute a window, under this order to sign. Why it refused, `superseded`
  /// when it stated nothing to us; or nothing, and then it stated the window as ordered.
  [[nodiscard]] std::optional<errc> refusal(hostile_member& driver, const request_log& log,
                                            const evidence_order& order) const {
    wire_message opening = open_of(log.id, {0, 4}, 2 * window);
    auto& open = std::get<wire_open>(opening.body);
    open.signs = true;
    open.log = log;
    EXPECT_TRUE(driver.wire(opening));
    EXPECT_TRUE(driver.wire({log.id, epoch{1}, 0, sign_evidence{order}}));
    const auto heard = hear_of(driver, log.id, epoch{1});
    if (!heard || !std::holds_alternative<session_opened>(heard->body)) {
      EXPECT_TRUE(driver.wire({log.id, epoch{1}, 0, close_session{}}));
      return failure_of(heard);
    }
    const frame_header header{frame_kind::tokens, log.id, epoch{1}, 0, window, 1, 0};
    EXPECT_TRUE(driver.frame(*signed_tokens(order, log.prompt), 0));
    EXPECT_TRUE(driver.frame(encode_frame(header, std::as_bytes(std::span{log.prompt})), 0));
    const stage_records stated = statements_to(driver);
    EXPECT_TRUE(driver.wire({log.id, epoch{1}, 0, close_session{}}));
    if (stated.statements.empty()) {
      return errc::superseded;
    }
    const auto bound = bind_statements(order.terms, stated);
    EXPECT_TRUE(verify_statement(stated.signer.node, bound.front().to_sign,
                                 stated.statements.front().proof));
    return std::nullopt;
  }
};

TEST_F(hole_02, a_stage_signs_for_nothing_but_what_it_computes) {
  hostile_member driver = member(front, attacker::scheduler);
  const auto fresh = [&] { return log_of(next_request(), window); };
  {
    const request_log log = fresh();
    evidence_order order = order_for(log);
    order.terms.model = hash("ovir/test/another-model", {});
    EXPECT_EQ(refusal(driver, log, order), errc::invalid_argument)
        << "a stage of model " << to_hex(model_).substr(0, 8)
        << " signed a statement that says it computed model "
        << to_hex(order.terms.model).substr(0, 8);
  }
  {
    const request_log log = fresh();
    request_log other = log;
    other.prompt.back() += 1;
    EXPECT_EQ(refusal(driver, log, order_for(other)), errc::invalid_argument)
        << "a first stage signed for another request than it was told";
  }
  {
    const request_log log = fresh();
    evidence_order order = order_for(log);
    order.deadline_unix = 1;
    EXPECT_EQ(refusal(driver, log, order), errc::invalid_argument)
        << "a stage promised to be done by a moment that is over";
  }
  std::optional<errc> refused = errc::superseded;
  for (int i = 0; i < tries_max && refused == errc::superseded; ++i) {
    const request_log log = fresh();
    refused = refusal(driver, log, order_for(log));
  }
  EXPECT_EQ(refused, std::nullopt) << "what is ordered as it is computed is signed";
  expect_service();
}

} // namespace
} // namespace ovir::test
