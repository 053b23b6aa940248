// What a shell wants to have run, read from its command, and what that would cost it.
#include "actors/operator/admin_call_actor.hpp"
#include "actors/payment/payments_actor.hpp"
#include "compute/gguf/join_adapter.hpp"
#include "messages/caf/errors.hpp"
#include "messages/hex.hpp"
#include "messages/limits/credit.hpp"
#include "messages/request/request_name.hpp"

#include <span>

namespace ovir::actors {

namespace {

constexpr std::uint64_t bunch_max = 1024;

result<sampling_params> read_sampling(admin_arguments& args) {
  sampling_params s;
  result<void> good;
  for_each_parameter([&]<class Number>(const sampling_row<Number>& row) {
    const auto take = [&](const auto& value) {
      if (value) {
        s.*row.value = static_cast<Number>(*value);
      } else if (good) {
        good = value.error();
      }
    };
    if constexpr (std::is_integral_v<Number>) {
      take(args.whole(row.name, row.least, row.most, s.*row.value));
    } else {
      take(args.number(row.name, s.*row.value));
    }
  });
  OVIR_TRY(good);
  OVIR_ASSIGN(const auto biases, args.texts("logit_bias", limits::token_biases_max));
  OVIR_ASSIGN(s.logit_bias, biases_from(biases));
  OVIR_ASSIGN(s.seed, args.whole("seed", 0, (std::uint64_t{1} << 53U) - 1, 0));
  return s;
}

} // namespace

request_id own_request(const admin_call& c, request_id named) {
  const auto client = c.self->state.clients.find(c.connection); // gone: it is told nothing
  const node_id who = client == c.self->state.clients.end() ? node_id{} : client->second.peer.node;
  return name_in_cluster(owner_of_shell(who.key), named);
}

result<std::uint32_t> read_bunch(admin_arguments& args) {
  OVIR_ASSIGN(const std::uint64_t bunch, args.whole("bunch", 1, bunch_max, 1));
  return static_cast<std::uint32_t>(bunch);
}

result<run_order> read_run(const admin_call& c, admin_arguments& args) {
  run_order order;
  generation_request& request = order.request;
  OVIR_ASSIGN(order.named, args.request());
  request.id = own_request(c, order.named);
  OVIR_ASSIGN(const std::string name, args.text("model", ""));
  OVIR_ASSIGN(const std::string adapter, args.text("adapter", ""));
  OVIR_ASSIGN(order.model, find_model(*c.self->state.environment.models, name));
  if (!adapter.empty()) {
    OVIR_ASSIGN(order.model, find_model(*c.self->state.environment.models,
                                        compute::adapted_name({order.model->name, adapter})));
  }
  request.model = order.model->id;
  if (args.has("prompt") == args.has("tokens")) {
    return fail(errc::invalid_argument, "give either 'prompt' or 'tokens'");
  }
  if (args.has("tokens")) {
    OVIR_ASSIGN(request.prompt, args.tokens("tokens"));
  } else {
    OVIR_ASSIGN(const std::string prompt, args.text("prompt"));
    if (!order.model->vocabulary) {
      return fail(errc::unsupported, "this node is no scheduler; connect to one");
    }
    OVIR_ASSIGN(request.prompt, order.model->vocabulary->encode(prompt, {}));
  }
  OVIR_ASSIGN(const std::uint64_t most, args.whole("max_tokens", 1, limits::context_max, 128));
  request.max_tokens = static_cast<std::uint32_t>(most);
  OVIR_ASSIGN(request.sampling, read_sampling(args));
  OVIR_ASSIGN(request.stop, args.texts("stop", limits::stop_strings_max));
  OVIR_ASSIGN(const std::string speculate, args.text("speculate", "auto"));
  OVIR_ASSIGN(request.drafts, speculation_from(speculate));
  OVIR_ASSIGN(order.wait, args.boolean("wait", true));
  OVIR_ASSIGN(request.receipt, args.boolean("receipt", false));
  OVIR_ASSIGN(const std::string reveal, args.text("reveal", "at_once"));
  OVIR_ASSIGN(request.reveal, reveal_from(reveal));
  OVIR_ASSIGN(const std::string privacy, args.text("privacy", "none"));
  OVIR_ASSIGN(request.privacy, privacy_from(privacy));
  OVIR_ASSIGN(const std::string tier, args.text("tier", ""));
  if (!tier.empty()) {
    OVIR_ASSIGN(request.tier, tier_from_text(tier));
  }
  OVIR_ASSIGN(request.trace, args.boolean("trace", false));
  OVIR_ASSIGN(const std::string reuse, args.text("cache", "default"));
  OVIR_ASSIGN(const cache_choice choice, cache_choice_from(reuse));
  // A seed that the shell made up comes never again.
  OVIR_ASSIGN(const bool fresh_seed, args.boolean("fresh_seed", false));
  const admin_state& state = c.self->state;
  const node_id& owner = state.clients.at(c.connection).peer.node;
  request.cache = cache_use_of(state.environment.cache, choice,
                               {reinterpret_cast<const char*>(owner.key.data()), owner.key.size()},
                               request.sampling.temperature == 0 || !fresh_seed);
  OVIR_ASSIGN(request.cache.explain, args.boolean("explain_cache", false));
  OVIR_ASSIGN(order.bunch, read_bunch(args));
  constexpr std::uint64_t day_ms = 86'400'000;
  OVIR_ASSIGN(const std::uint64_t deadline, args.whole("deadline_ms", 1, day_ms, day_ms));
  request.deadline = std::chrono::milliseconds{deadline};
  OVIR_ASSIGN(const std::string priority, args.text("priority", "normal"));
  if (priority != "normal" && priority != "batch") {
    return fail(errc::invalid_argument, "'priority' must be 'normal' or 'batch'");
  }
  request.batch = priority == "batch";
  return order;
}

result<void> quote_run(const admin_call& c, admin_arguments& args) {
  OVIR_ASSIGN(run_order order, read_run(c, args));
  OVIR_TRY(args.done());
  const caf::actor payments = find_actor(c, "payments");
  if (!payments || !find_actor(c, "jobs")) {
    return fail(errc::unsupported, "requests cannot be paid for on this node: it {}",
                payments ? "is no scheduler" : "uses no ledger; run them without --pay");
  }
  reserve_credit asked{std::move(order.request), order.model->weights.config.layers,
                       model_bytes(*order.model)};
  const node_id payer = c.self->state.clients.at(c.connection).peer.node;
  c.self->request(payments, 2 * limits::reserve_wait, quote_credit{std::move(asked), payer})
      .then(
          [c](const credit_quote& quote) {
            c.done({{"entry", to_hex(std::span<const std::byte>{quote.entry})},
                    {"ledger", to_hex(quote.ledger)}});
          },
          [c](const caf::error& e) { c.refuse(from_caf(e)); });
  return {};
}

} // namespace ovir::actors
