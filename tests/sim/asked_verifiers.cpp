#include "tests/sim/asked_verifiers.hpp"

#include "compute/gguf/manifest.hpp"
#include "tests/support/model/computed_receipt.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/resigned_receipt.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace ovir::test {

using namespace std::chrono_literals;
using std::chrono::microseconds;

namespace {

constexpr std::size_t first_host = 1;
constexpr std::size_t lead = first_host + asked_verifiers::hosts;
constexpr std::size_t first_worker = lead + 1;
constexpr std::size_t workers_at_once = 24;
constexpr std::size_t workers_max = 130;

compute::synth_spec spec_of(std::uint32_t layers, std::uint64_t seed) {
  compute::synth_spec spec;
  spec.layers = layers;
  spec.dim = 32;
  spec.ffn_dim = 32;
  spec.heads = 2;
  spec.kv_heads = 1;
  spec.vocabulary = 260;
  spec.seed = seed;
  spec.quantization = compute::synth_quantization::q8_0;
  return spec;
}

/// The same for the same seed and number.
secret_key key_of(std::uint64_t seed, std::size_t number) {
  const digest made = hasher{"ovir/test/asked"}.update_u64(seed).update_u64(number).finish();
  return secret_key::from_seed(std::as_bytes(std::span{made.bytes}));
}

} // namespace

computed_requests::computed_requests() {
  const receipt_maker cast;
  compute::serial_runner runner;
  std::mt19937_64 random{11};
  for (const std::uint32_t layers : {6U, 9U}) {
    files_.push_back(std::make_unique<loaded_model>(synthetic_model(spec_of(layers, layers))));
    auto model = std::make_shared<actors::catalog_model>();
    model->weights = files_.back()->get();
    model->held = {0, layers};
    model->kernels = *compute::select_kernels(std::nullopt);
    if (!compute::check_weights(model->weights, model->held, runner)) {
      throw std::runtime_error{"the model is none"};
    }
    for (int i = 0; i < 12; ++i) {
      const auto prompt = static_cast<std::uint32_t>(3 + random() % 50);
      const auto output = static_cast<std::uint32_t>(2 + random() % 24);
      const computed_receipt made{cast, *files_.back(), prompt, output};
      model->id = made.r.asked.model;
      auto again = compute::replay(made.r, model->weights, compute::bounds_of(made.r),
                                   *model->kernels, runner)
                       .value();
      for (std::size_t stage = 0; stage < made.r.stages.size(); ++stage) {
        for (std::uint32_t w = 0; w < windows_of(made.r.positions); ++w) {
          by_task_[task_digest(compute::task_of(made.r, {stage, w}))] = all_.size();
        }
      }
      all_.push_back({made.r, model, std::move(again)});
    }
  }
}

const computed_requests::one* computed_requests::of(const audit_task& task) const {
  const auto found = by_task_.find(task_digest(task));
  return found == by_task_.end() ? nullptr : &all_[found->second];
}

class costly_env final : public storage::env {
public:
  explicit costly_env(std::uint64_t seed) : random_(seed) {}

  void pass(microseconds least, std::uint64_t more = 0) {
    now_ += least + microseconds{more == 0 ? 0 : random_() % more};
  }
  [[nodiscard]] microseconds at() const { return now_; }

  result<std::unique_ptr<storage::mapped_file>> map(const std::string& path) override {
    return fail(errc::not_found, "{}", path);
  }
  result<std::string> read(const std::string& path, std::uint64_t) override {
    return fail(errc::not_found, "{}", path);
  }
  result<std::unique_ptr<storage::staged_file>> stage(const std::string&) override {
    return std::unique_ptr<storage::staged_file>{std::make_unique<staged>(*this)};
  }
  result<std::unique_ptr<storage::append_file>> create(const std::string&) override {
    return std::unique_ptr<storage::append_file>{std::make_unique<grown>(*this)};
  }
  result<std::vector<std::string>> list(const std::string&) override {
    return std::vector<std::string>{};
  }
  result<void> remove(const std::string&) override {
    pass(500us, 1'000);
    return {};
  }
  result<void> make_folder(const std::string&) override { return {}; }
  result<bool> make_secret_file(const std::string&, std::span<const std::byte>) override {
    return true;
  }
  result<std::size_t> read_secret_file(const std::string& path, std::span<std::byte>) override {
    return fail(errc::not_found, "{}", path);
  }
  std::uint64_t unix_seconds() override {
    return 1'800'000'000 + static_cast<std::uint64_t>(now_ / 1s);
  }
  time_point now() override {
    pass(1us);
    return time_point{now_};
  }
  void random(std::span<std::byte> out) override {
    pass(1us);
    std::generate(out.begin(), out.end(), [this] { return static_cast<std::byte>(random_()); });
  }

private:
  class staged final : public storage::staged_file {
  public:
    explicit staged(costly_env& env) : env_(env) {}
    result<void> append(std::span<const std::byte>) override { return {}; }
    result<void> commit() override {
      env_.pass(2'000us, 4'000);
      return {};
    }

  private:
    costly_env& env_;
  };
  class grown final : public storage::append_file {
  public:
    explicit grown(costly_env& env) : env_(env) {}
    result<void> append(std::span<const std::byte>) override {
      env_.pass(20us, 20);
      return {};
    }

  private:
    costly_env& env_;
  };

  std::mt19937_64 random_;
  microseconds now_{1s};
};

namespace {

/// A line takes time.
class slow_log final : public actors::log {
public:
  explicit slow_log(costly_env& env) : env_(env) {}
  void write(actors::log_level, std::optional<request_id>, std::string_view) override {
    env_.pass(30us, 30);
  }
  [[nodiscard]] actors::log_level level() const noexcept override {
    return actors::log_level::info;
  }
  void set_level(actors::log_level) noexcept override {}

private:
  costly_env& env_;
};

} // namespace

class asked_verifiers::links final : public actors::network {
public:
  explicit links(asked_verifiers& world) : world_(world) {}
  actors::connection_id connect(const std::string&, actors::channel, const node_id&) override {
    return {};
  }
  result<void> send(actors::connection_id connection, actors::message_kind, std::uint32_t,
                    std::shared_ptr<const std::vector<std::byte>> bytes) override {
    if (const auto message = decode_audit(*bytes)) {
      world_.sent((connection.value - 1) / 2, bytes->size(), *message);
    }
    return {};
  }
  void close(actors::connection_id, error) override {}

private:
  asked_verifiers& world_;
};

asked_verifiers::asked_verifiers(const computed_requests& requests, std::uint64_t seed)
    : requests_(requests), seed_(seed), random_(seed), env_(std::make_unique<costly_env>(seed + 1)),
      log_(std::make_unique<slow_log>(*env_)), links_(std::make_unique<links>(*this)),
      config_(system_config::simulated()), system_(config_),
      scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())) {
  actors::access_list::settings settings;
  for (std::size_t i = 0; i < first_worker + workers_max; ++i) {
    keys_.push_back(key_of(seed, i));
    settings.keys[keys_[i].id()] = role_set{}.add(i == lead  ? role::scheduler
                                                  : i < lead ? role::verifier
                                                             : role::worker);
  }
  for (next_worker_ = first_worker; workers_.size() < workers_at_once; ++next_worker_) {
    workers_.push_back(next_worker_);
  }
  access_ = actors::access_list::load(*env_, settings).value();
  peers_ = std::make_unique<actors::peers>(keys_[0].id(), *access_, *log_,
                                           [] { return std::uint64_t{1}; });
  peers_->use(links_.get());
  for (const computed_requests::one& one : requests.all()) {
    models_.put(one.model);
  }
  actors::verifier_environment around;
  around.key = &keys_[0];
  around.links = peers_.get();
  around.access = access_.get();
  around.models = &models_;
  around.journal = log_.get();
  around.env = env_.get();
  around.state = "state";
  around.software = "test";
  around.audits = true;
  around.how.planted_ppm = share_ppm;
  around.watchers = [] { return std::vector<caf::actor>{}; };
  verifier_ = system_.spawn(actors::verifier_behavior, std::move(around));
  scheduler_.run();
  std::vector<actors::member> members;
  for (std::size_t host = 0; host < hosts; ++host) {
    for (const actors::channel kind : {actors::channel::control, actors::channel::data}) {
      actors::peer_info peer;
      peer.connection.value = 2 * host + (kind == actors::channel::data ? 2 : 1);
      peer.node = keys_[first_host + host].id();
      peer.kind = kind;
      peer.roles = role_set{}.add(role::verifier).add(role::scheduler);
      peer.incoming = true;
      peers_->connected(peer);
    }
    actors::member m;
    m.node = keys_[first_host + host].id();
    m.health = actors::member_health::alive;
    m.advert.roles = role_set{}.add(role::verifier).add(role::scheduler);
    members.push_back(m);
  }
  caf::anon_send(verifier_,
                 actors::members_changed{
                     std::make_shared<const std::vector<actors::member>>(std::move(members))});
  scheduler_.run();
}

asked_verifiers::~asked_verifiers() {
  peers_->use(nullptr);
  caf::anon_send_exit(verifier_, caf::exit_reason::kill);
  scheduler_.run();
}

void asked_verifiers::request() {
  const computed_requests::one& one = requests_.all()[random_() % requests_.all().size()];
  receipt r = one.r;
  r.asked.request = request_id{random_()};
  std::shuffle(workers_.begin(), workers_.end(), random_);
  std::vector<secret_key> signers;
  const std::uint32_t windows = windows_of(r.positions);
  const std::size_t units = r.stages.size() * windows;
  audit_place place{audit_part::unit, 0, 0, 0};
  digest stated = r.stages[0].statements[0].units[0];
  current now;
  std::optional<std::size_t> liar;
  if (chance() < static_cast<double>(units * share_ppm) / 1e6) {
    const compute::stage_window at{random_() % r.stages.size(),
                                   static_cast<std::uint32_t>(random_() % windows)};
    place.window = at.window;
    place.layer = r.stages[at.stage].signer.layers.first; // not what the next stage gets
    stated = hasher{"ovir/test/lie"}.update_u64(random_()).finish();
    now.lie = compute::task_of(r, at);
    liar = at.stage;
  }
  std::vector<std::size_t> who{lead};
  who.insert(who.end(), workers_.begin(), workers_.begin() + 3);
  if (liar) { // each lies once: all are told of its conviction
    who[*liar + 1] = next_worker_++;
  }
  for (const std::size_t i : who) {
    signers.push_back(key_of(seed_, i));
    now.signers.push_back(keys_[i].id());
  }
  const receipt made = resign(r, place, stated, signers).value();
  now.at = env_->at();
  offered_ = now;
  deliver(hosts, audit_offer{true, encode_receipt(made)});
  offered_.reset();
  pass(std::chrono::seconds{2 + random_() % 8});
}

void asked_verifiers::settle() {
  for (int i = 0; i < 600 && !open_.empty(); ++i) {
    pass(1s);
  }
}

void asked_verifiers::pass(std::chrono::seconds time) {
  for (; time > 0s; time -= 1s) {
    env_->pass(1s);
    scheduler_.advance_time(1s);
    scheduler_.run();
    answer_due();
  }
}

/// `hosts`: from the lead.
void asked_verifiers::deliver(std::size_t host, const audit_message& message) {
  const bool offer = host == hosts;
  caf::anon_send(verifier_,
                 actors::audit_received{keys_[offer ? lead : first_host + host].id(),
                                        role_set{}.add(offer ? role::scheduler : role::verifier),
                                        std::make_shared<const std::vector<std::byte>>(
                                            encode_audit(message).value())});
  scheduler_.run();
}

/// As honest hosts do, after some time; one in six never.
void asked_verifiers::answer_due() {
  for (std::size_t i = 0; i < open_.size();) {
    if (open_[i].answer_at > env_->at()) {
      ++i;
      continue;
    }
    const asked one = open_[i];
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
    if (one.silent) {
      continue;
    }
    const computed_requests::one* const of = requests_.of(one.what.task);
    const auto outcome = compute::outcome_for(one.what.task, of->again);
    const digest name = compute::outcome_digest(*outcome);
    deliver(one.host, audit_answer{one.what.number, name,
                                   sign_outcome(keys_[first_host + one.host],
                                                task_digest(one.what.task), name)});
  }
}

void asked_verifiers::sent(std::size_t host, std::size_t bytes, const audit_message& message) {
  if (const auto* q = std::get_if<audit_question>(&message)) {
    saw_question(host, bytes, *q);
  } else if (const auto* told = std::get_if<audit_standing>(&message)) {
    saw_standing(host, *told);
  } else if (const auto* shown = std::get_if<audit_reveal>(&message)) {
    const auto r = decode_receipt(shown->receipt).value();
    const auto at = compute::window_of(r, shown->place).value();
    const auto computed =
        compute::computed_at(requests_.of(compute::task_of(r, at))->again, shown->place).value();
    caf::anon_send(
        verifier_,
        actors::audit_received{
            keys_[first_host + host].id(), role_set{}.add(role::verifier),
            std::make_shared<const std::vector<std::byte>>(
                encode_audit(
                    audit_vouch{shown->number, computed,
                                give_verdict(keys_[first_host + host],
                                             receipt_digest(shown->receipt), shown->place, computed,
                                             {audit_kernels::reference, "host"})})
                    .value())});
  } else if (const auto* c = std::get_if<conviction>(&message)) {
    out_.insert(c->guilty);
  }
}

double asked_verifiers::standing_of(std::size_t host, const std::vector<node_id>& nodes) const {
  double sum = 0;
  for (const node_id& node : nodes) {
    const auto found = standing_[host].find(node);
    sum += found == standing_[host].end() ? 0 : found->second;
  }
  return sum;
}

void asked_verifiers::saw_standing(std::size_t host, const audit_standing& told) {
  standing_[host].clear();
  for (std::size_t i = 0; i < told.nodes.size(); ++i) {
    standing_[host][told.nodes[i]] = told.reputations_ppm[i];
  }
  for (const asked& one : open_) {
    const bool told_all = std::any_of(one.signers.begin(), one.signers.end(),
                                      [this](const node_id& n) { return out_.contains(n); });
    if (one.host == host && !told_all) { // how it changed while it was asked
      seen_[one.seen].features.back() = standing_of(host, one.signers) - one.told_before;
    }
  }
}

const std::vector<std::string>& asked_verifiers::features() {
  static const std::vector<std::string> names{
      "host",        "bytes",         "model",   "model layers", "first layer",   "last layer",
      "positions",   "window",        "prompt",  "tokens",       "sum of tokens", "last token",
      "temperature", "top p",         "input",   "input's end",  "K and V",       "last K",
      "taken",       "first taken",   "number",  "number's end", "after offer",   "after other",
      "after own",   "in the second", "standing"};
  return names;
}

void asked_verifiers::saw_question(std::size_t host, std::size_t bytes, const audit_question& q) {
  const microseconds now = env_->at();
  const audit_task& t = q.task;
  asked one;
  seen_question seen;
  if (offered_) {
    seen.planted = !offered_->lie || t != *offered_->lie;
    one.signers = offered_->signers;
    one.at = offered_->at;
  } else { // another host was silent
    const auto before = std::find_if(open_.begin(), open_.end(), [&](const asked& other) {
      return other.silent && other.what.task == t;
    });
    if (before == open_.end()) {
      throw std::runtime_error{"a question about nothing"};
    }
    seen.planted = seen_[before->seen].planted;
    one.signers = before->signers;
    one.at = before->at;
    open_.erase(before);
  }
  const auto end = std::max_element(last_.begin(), last_.end());
  const auto real = [](auto value) { return static_cast<double>(value); };
  const double tokens = std::accumulate(t.tokens.begin(), t.tokens.end(), 0.0);
  seen.features = {real(host),
                   real(bytes),
                   real(t.model.bytes[0]),
                   real(t.model_layers),
                   real(t.layers.first),
                   real(t.layers.last),
                   real(t.positions),
                   real(t.window()),
                   real(t.prompt),
                   real(t.tokens.size()),
                   tokens,
                   real(t.tokens.back()),
                   real(t.sampling.temperature),
                   t.sampling.top_p,
                   real(t.input.bytes[0]),
                   real(t.input.bytes[31]),
                   real(t.kv.size()),
                   t.kv.empty() ? -1 : real(t.kv.back().bytes[0]),
                   real(q.taken.size()),
                   q.taken.empty() ? 0 : real(static_cast<int>(q.taken.front())),
                   real(q.number),
                   real(q.number % 256),
                   real((now - one.at).count()),
                   real((now - *end).count()),
                   real((now - last_[host]).count()),
                   real((now % 1s).count()),
                   0};
  last_[host] = now;
  one.host = host;
  one.what = q;
  one.seen = seen_.size();
  one.told_before = standing_of(host, one.signers);
  one.silent = chance() < 1.0 / 6;
  one.answer_at = now + (one.silent ? microseconds{100s}
                                    : microseconds{static_cast<std::int64_t>(chance() * 8e6)});
  seen_.push_back(std::move(seen));
  open_.push_back(std::move(one));
}

} // namespace ovir::test
