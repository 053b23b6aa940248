#include "apps/ovir-verify/fast.hpp"

#include "apps/blas_library.hpp"
#include "apps/compute_threads.hpp"
#include "apps/console.hpp"
#include "apps/open_model.hpp"
#include "compute/forward/dense_forward.hpp"
#include "compute/gguf/manifest.hpp"
#include "messages/evidence/fast_record.hpp"
#include "messages/evidence/receipt.hpp"

#include <limits>
#include <optional>

namespace ovir::apps {

namespace {

using row_sets = std::vector<std::vector<float>>; ///< of each layer [positions][dim]

struct unit_distance {
  compute::unit_name unit;
  double distance;
};

std::span<const token_id> fed(const fast_record& r) {
  return std::span{r.tokens}.first(r.positions());
}

result<row_sets> compute_fast(const fast_record& r, const compute::model& m) {
  OVIR_ASSIGN(const blas_library blas, load_blas());
  OVIR_ASSIGN(compute::dense_sequence sequence,
              compute::dense_sequence::make(m, blas.product, r.positions()));
  row_sets rows;
  std::vector<float> logits;
  OVIR_TRY(sequence.append(fed(r), rows, logits));
  return rows;
}

/// By exact-1, every layer but the last, whose boundary nobody has there.
result<row_sets> compute_exact(const fast_record& r, const compute::model& m,
                               const fast_check_orders& orders) {
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(orders.isa));
  compute_threads runner{orders.threads};
  row_sets rows(m.config.layers - 1);
  std::vector<std::unique_ptr<compute::segment>> layers;
  std::vector<compute::segment_state> states;
  for (layer_index l = 0; l + 1 < m.config.layers; ++l) {
    OVIR_ASSIGN(auto one, compute::segment::make(m, {l, l + 1}, *kernels, runner));
    OVIR_ASSIGN(compute::segment_state state,
                one->open(r.positions(), std::numeric_limits<std::size_t>::max()));
    layers.push_back(std::move(one));
    states.push_back(std::move(state));
  }
  compute::step_output out;
  for (position first = 0; first < r.positions(); first += limits::window_positions) {
    compute::step_input in;
    in.first = first;
    in.count = std::min(limits::window_positions, r.positions() - first);
    in.tokens = fed(r).subspan(first, in.count);
    for (std::size_t l = 0; l < layers.size(); ++l) {
      OVIR_TRY(layers[l]->forward(states[l], in, runner, out));
      rows[l].insert(rows[l].end(), out.boundary.begin(), out.boundary.end());
      in.tokens = {};
      in.boundary = std::span{rows[l]}.last(out.boundary.size());
    }
  }
  return rows;
}

std::vector<unit_distance> distances(const fast_record& r, const row_sets& computed) {
  std::vector<unit_distance> all;
  const std::span<const float> claimed{r.rows};
  for (std::uint32_t w = 0; w < windows_of(r.positions()); ++w) {
    const std::size_t at = std::size_t{w} * limits::window_positions * r.dim;
    const std::size_t count = std::size_t{positions_of(w, r.positions())} * r.dim;
    for (layer_index l = 0; l < computed.size(); ++l) {
      all.push_back({{w, l},
                     compute::relative_distance(
                         claimed.subspan(std::size_t{l} * r.positions() * r.dim + at, count),
                         std::span{computed[l]}.subspan(at, count))});
    }
  }
  return all;
}

using failures = std::vector<compute::receipt_failure>;

/// Whose word counts, and whether it is theirs.
failures check_signer(const fast_record& r, const compute::signer_policy& who) {
  using kind = compute::signer_policy::kind;
  if (!is_signed(r)) {
    return {{"the record is not what its signer signed", r.node, std::nullopt, std::nullopt}};
  }
  if (who.who == kind::unknown) {
    return {{"signers unknown: say whose signatures count with --signers FILE or --any-signer",
             std::nullopt, std::nullopt, std::nullopt}};
  }
  if (who.who == kind::listed && !who.listed.contains(r.node)) {
    return {{"this signer is not among those whose signatures count", r.node, std::nullopt,
             std::nullopt}};
  }
  return {};
}

result<void> fits(const fast_record& r, const ready_model& model) {
  const compute::model_config& c = model.weights.config;
  if (c.layers != r.layers || c.dim != r.dim) {
    return fail(errc::digest_mismatch, "the record has {} layers of {}, {} has {} of {}", r.layers,
                r.dim, model.source.path, c.layers, c.dim);
  }
  return {};
}

result<exit_code> tell(const fast_check_orders& orders, const fast_record& r, const failures& found,
                       const std::vector<unit_distance>& all) {
  double most = 0;
  for (const unit_distance& one : all) {
    most = std::max(most, one.distance);
  }
  json list = json::array();
  std::string text;
  for (const compute::receipt_failure& f : found) {
    list.push_back({{"what", f.what},
                    {"signer", f.signer ? json(to_hex(*f.signer)) : json(nullptr)},
                    {"unit", f.unit ? json{{"window", f.unit->window}, {"layer", f.unit->layer}}
                                    : json(nullptr)}});
    text += fmt::format("wrong: {}{}\n", f.what,
                        f.signer ? fmt::format(" (signer {})", to_hex(*f.signer)) : "");
  }
  const bool compared = !all.empty();
  if (found.empty()) {
    text = fmt::format("within {:.0e}: {} units of the profile fast, at most {:.2e} apart; this is "
                       "no proof of bits\n",
                       fast_tolerance, all.size(), most);
    if (!compared) {
      text = "signed: give --model to compare what was computed\n";
    }
  }
  json document{{"ok", found.empty()},         {"tier", compared ? "fast" : "T0"},
                {"failures", std::move(list)}, {"profile", compute::fast_profile_name},
                {"reproducible", false},       {"software", r.software},
                {"units", all.size()},         {"tolerance", fast_tolerance}};
  document["distance"] = compared ? json(most) : json(nullptr);
  OVIR_TRY(orders.as_json ? write_document(document) : write_output(text));
  return found.empty() ? exit_code::done : exit_code::wrong;
}

result<exit_code> calibrate(const fast_check_orders& orders, const fast_record& r,
                            const ready_model& model) {
  OVIR_TRY(fits(r, model));
  OVIR_ASSIGN(const row_sets rows, orders.calibrate == "exact"
                                       ? compute_exact(r, model.weights, orders)
                                       : compute_fast(r, model.weights));
  json list = json::array();
  for (const unit_distance& one : distances(r, rows)) {
    list.push_back(
        {{"window", one.unit.window}, {"layer", one.unit.layer}, {"distance", one.distance}});
  }
  OVIR_TRY(write_document(
      {{"calibrate", orders.calibrate}, {"software", r.software}, {"units", std::move(list)}}));
  return exit_code::done;
}

} // namespace

result<exit_code> verify_fast(const fast_check_orders& orders, storage::env& environment) {
  OVIR_ASSIGN(const auto file, map_file(environment, orders.file));
  const auto r = decode_fast_record(file->bytes());
  if (!r) {
    return in_context(orders.file, r.error());
  }
  failures found = check_signer(*r, orders.who);
  if (orders.model.empty() || (!found.empty() && orders.calibrate.empty())) {
    return tell(orders, *r, found, {});
  }
  OVIR_ASSIGN(const ready_model model, ready_model_at(environment, orders.model));
  if (!orders.calibrate.empty()) {
    return calibrate(orders, *r, model);
  }
  OVIR_ASSIGN(const compute::model_manifest manifest, compute::manifest_of(model.source.metadata));
  if (const digest given = compute::name_of(manifest); given != r->model) {
    found.push_back({fmt::format("the record is about model {}, {} is {}", to_hex(r->model),
                                 orders.model, to_hex(given)),
                     std::nullopt, std::nullopt, std::nullopt});
    return tell(orders, *r, found, {});
  }
  std::vector<unit_distance> all;
  if (const auto same = fits(*r, model); !same) {
    found.push_back({same.error().message, r->node, std::nullopt, std::nullopt});
  } else {
    OVIR_ASSIGN(const row_sets rows, compute_fast(*r, model.weights));
    all = distances(*r, rows);
  }
  for (const unit_distance& one : all) {
    if (one.distance > fast_tolerance) { // what comes after is computed from it
      found.push_back({fmt::format("layer {} over window {}: {:.2e} apart from what is computed "
                                   "again, {:.0e} is tolerated",
                                   one.unit.layer, one.unit.window, one.distance, fast_tolerance),
                       r->node, one.unit, std::nullopt});
      break;
    }
  }
  return tell(orders, *r, found, all);
}

} // namespace ovir::apps
