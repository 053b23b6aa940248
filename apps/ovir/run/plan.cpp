#include "actors/group/group_plan.hpp"
#include "actors/path/planner.hpp"
#include "apps/ovir/base/command.hpp"
#include "apps/ovir/run/cluster_file.hpp"
#include "apps/ovir/run/stage_picture.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <numeric>

namespace ovir::apps {

namespace {

struct plan_options {
  std::string model;
  std::string cluster;
  std::uint32_t context{0}; ///< 0: the model's own
  std::uint32_t requests{1};
  std::uint32_t prefill_chunk{64};
  bool batch{false};
  bool as_json{false};
};

struct planned {
  const actors::plan_request& request;
  const actors::plan& plan;
  const actors::group_choice& group;
  std::string_view model;
};

std::string_view name_of(actors::group_verdict verdict) {
  switch (verdict) {
  case actors::group_verdict::one_node: return "one node";
  case actors::group_verdict::stages: return "stages";
  case actors::group_verdict::group: return "group";
  case actors::group_verdict::none: break;
  }
  return "none";
}

/// One way between the lead and a node.
double way_to_lead(const actors::plan_request& r, std::uint32_t node) {
  const double lead = r.lead ? r.nodes[*r.lead].rtt_seconds : r.lead_rtt_seconds;
  return r.lead == node ? 0 : (r.nodes[node].rtt_seconds + lead) / 2;
}

/// Memory for a part of the whole model.
std::uint64_t memory_for_parts(const actors::plan_request& r, const actors::plan_node& node) {
  const std::vector<std::uint64_t>& layers = r.shape.layer_weights;
  const layer_range all{0, static_cast<layer_index>(layers.size())};
  if (node.holds && *node.holds != all) {
    return 0;
  }
  const std::uint64_t held = std::accumulate(layers.begin(), layers.end(), r.shape.head);
  return node.memory + (node.loaded ? held : 0);
}

/// Whether the nodes would be faster as a group that computes every layer together.
result<actors::group_choice> group_of(const actors::plan_request& r, const actors::plan& plan,
                                      const compute::model& model) {
  actors::group_question q;
  q.model = &model;
  q.layers = {0, model.config.layers};
  q.context = r.context;
  q.requests = r.requests;
  for (const actors::plan_node& n : r.nodes) {
    q.nodes.push_back({n.name, memory_for_parts(r, n), n.decode_bytes_per_second,
                       n.prefill_bytes_per_second, n.rtt_seconds / 2,
                       n.bandwidth_bytes_per_second});
  }
  for (const actors::plan_link& l : r.links) {
    q.links.push_back({l.a, l.b, l.rtt_seconds / 2, l.bandwidth_bytes_per_second});
  }
  if (plan.stages.size() > 1) {
    q.stages_seconds = plan.speed.token_seconds - way_to_lead(r, plan.stages.front().node) -
                       way_to_lead(r, plan.stages.back().node);
  }
  return actors::choose_group(q);
}

json document_of(const actors::plan_request& r, const actors::group_choice& g) {
  json members = json::array();
  for (std::size_t i = 0; i < g.members.size(); ++i) {
    const compute::member_part& part = g.cut.members[i];
    members.push_back({{"node", r.nodes[g.members[i]].name},
                       {"kv_heads", part.kv_heads.size()},
                       {"feed_forward_rows", part.inner.size()},
                       {"output_rows", part.rows.size()}});
  }
  return {{"fastest", name_of(g.what)},
          {"members", std::move(members)},
          {"token_ms", g.members.empty() ? json{nullptr} : json{g.token.total() * 1e3}},
          {"why", g.why}};
}

json document_of(const actors::plan_speed& speed) {
  return {{"token_ms", speed.token_seconds * 1e3},
          {"slowest_ms", speed.slowest_seconds * 1e3},
          {"decode_tps", speed.tokens_per_second},
          {"together_tps", speed.tokens_per_second_together},
          {"prefill_tps", speed.prefill_per_second}};
}

json document_of(const planned& p) {
  json stages = json::array();
  for (const actors::plan_stage& stage : p.plan.stages) {
    stages.push_back({{"node", p.request.nodes[stage.node].name},
                      {"first_layer", stage.layers.first},
                      {"last_layer", stage.layers.last - 1},
                      {"weight_bytes", stage.weights},
                      {"kv_bytes", stage.kv},
                      {"buffer_bytes", stage.buffers},
                      {"memory_bytes", stage.memory()},
                      {"memory_limit_bytes", p.request.nodes[stage.node].memory},
                      {"decode_ms", stage.decode_seconds * 1e3}});
  }
  json alone = nullptr;
  if (p.plan.alone) {
    alone = document_of(*p.plan.alone);
    alone["node"] = p.request.nodes[p.plan.alone_node].name;
  }
  return {
      {"model", p.model},
      {"objective", p.request.objective == actors::plan_objective::batch ? "batch" : "interactive"},
      {"context", p.request.context},
      {"requests", p.request.requests},
      {"stages", std::move(stages)},
      {"speed", document_of(p.plan.speed)},
      {"alone", std::move(alone)},
      {"why", p.plan.why},
      {"group", document_of(p.request, p.group)},
      {"gap", p.plan.gap},
      {"states", p.plan.states}};
}

picture_box box_of(const planned& p, const actors::plan_stage& stage) {
  const auto layers = static_cast<std::uint32_t>(p.request.shape.layer_weights.size());
  const actors::plan_node& node = p.request.nodes[stage.node];
  return {node.name,
          layers_text(stage.layers),
          ends_text(stage.layers, layers),
          fmt::format("weights {:>10}", bytes_text(stage.weights)),
          fmt::format("KV      {:>10}", bytes_text(stage.kv)),
          fmt::format("buffers {:>10}", bytes_text(stage.buffers)),
          fmt::format("{:.0f} % of {}",
                      100 * static_cast<double>(stage.memory()) / static_cast<double>(node.memory),
                      bytes_text(node.memory)),
          fmt::format("{:.1f} ms per token", stage.decode_seconds * 1e3)};
}

std::string text_of(const planned& p) {
  std::vector<picture_box> boxes;
  std::vector<bool> used(p.request.nodes.size(), false);
  for (const actors::plan_stage& stage : p.plan.stages) {
    boxes.push_back(box_of(p, stage));
    used[stage.node] = true;
  }
  const actors::plan_speed& s = p.plan.speed;
  std::string text = fmt::format(
      "{}: {} request{} of {} positions, {}\n", p.model, p.request.requests,
      p.request.requests == 1 ? "" : "s", p.request.context,
      p.request.objective == actors::plan_objective::batch ? "for the most tokens together"
                                                           : "for the least time per token");
  text += picture_of(boxes);
  std::string unused;
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) {
      unused += (unused.empty() ? "" : ", ") + p.request.nodes[i].name;
    }
  }
  if (!unused.empty()) {
    text += fmt::format("unused     {}\n", unused);
  }
  text += fmt::format("prefill    {:.1f} tokens/s predicted\n", s.prefill_per_second);
  text +=
      fmt::format("decode     {:.1f} tokens/s predicted for one request ({:.1f} ms per token)\n",
                  s.tokens_per_second, s.token_seconds * 1e3);
  if (p.request.requests > 1) {
    text += fmt::format("together   {:.1f} tokens/s predicted for {} requests\n",
                        s.tokens_per_second_together, p.request.requests);
  }
  text += fmt::format("why        {}\n", p.plan.why);
  return text + fmt::format("group      {}\n", p.group.why);
}

result<exit_code> run_plan(const plan_options& given, surroundings& around) {
  auto text = around.environment.read(given.cluster, limits::config_file_bytes_max);
  if (!text) {
    return text.error();
  }
  OVIR_ASSIGN(cluster_description cluster, parse_cluster(given.cluster, *text));
  OVIR_ASSIGN(const ready_model model, load_model(around, given.model));
  const compute::model_config& config = model.weights.config;
  if (given.context > config.context) {
    return fail(errc::invalid_argument, "--context {}: {} was made for {} positions at most",
                given.context, model.source.path, config.context);
  }
  actors::plan_request request;
  request.shape = actors::shape_of(model.weights, given.prefill_chunk);
  request.nodes = std::move(cluster.nodes);
  request.links = std::move(cluster.links);
  request.lead = cluster.lead;
  request.context = given.context > 0 ? given.context : config.context;
  request.requests = given.requests;
  request.objective =
      given.batch ? actors::plan_objective::batch : actors::plan_objective::interactive;
  const auto made = actors::make_plan(request);
  if (!made) {
    return in_context(given.cluster, made.error());
  }
  OVIR_ASSIGN(const actors::group_choice group, group_of(request, *made, model.weights));
  const planned done{request, *made, group, model.source.path};
  if (given.as_json) {
    OVIR_TRY(write_document(document_of(done)));
  } else {
    OVIR_TRY(write_output(text_of(done)));
  }
  return exit_code::done;
}

} // namespace

void add_plan(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("plan", "Cut a model for the machines a file describes");
  const auto given = std::make_shared<plan_options>();
  command->footer(
      "Prints who would hold what, the predicted speed and memory, and why; and whether a\n"
      "group that computes every layer together would be faster. Nothing is started.\n"
      "config/cluster.toml shows every key of the file.\n"
      "\nExamples:\n"
      "  ovir plan -m MODEL.gguf --cluster config/cluster.toml\n"
      "  ovir plan -m MODEL.gguf --cluster FILE --context 4096 --requests 4 --batch");
  command->add_option("-m,--model", given->model, "GGUF file (default: the embedded model)");
  command->add_option("--cluster", given->cluster, "TOML file with nodes and links")->required();
  command
      ->add_option("--context", given->context,
                   "Positions promised to each request (default: the model's)")
      ->check(CLI::Range(std::uint32_t{1}, limits::context_max));
  command->add_option("--requests", given->requests, "Requests at once")
      ->check(CLI::Range(std::uint32_t{1}, limits::requests_active_max))
      ->capture_default_str();
  command->add_option("--prefill-chunk", given->prefill_chunk, "Positions of a prompt per step")
      ->check(CLI::Range(std::uint32_t{1}, limits::prefill_chunk_max))
      ->capture_default_str();
  command->add_flag("--batch", given->batch,
                    "Most tokens per second together, instead of least time per token");
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return run_plan(*given, around); };
  });
}

} // namespace ovir::apps
