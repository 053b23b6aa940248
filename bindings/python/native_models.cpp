#include "apps/ovir/run/chat_prompt.hpp"
#include "bindings/generation.hpp"
#include "bindings/held_model.hpp"
#include "bindings/python/native.hpp"

#include <pybind11/stl.h>

#include <mutex>
#include <optional>

namespace py = pybind11;

namespace ovir::python {

namespace {

using bindings::generation;
using bindings::generation_plan;
using bindings::held_model;
using shared_model = std::shared_ptr<held_model>;

shared_model open_model(const std::optional<std::string>& path, std::uint32_t threads,
                        const std::string& isa) {
  const py::gil_scoped_release apart;
  return unwrap(held_model::open(path, threads, isa));
}

/// A run, and the model that it computes with.
struct held_run {
  shared_model model;
  std::unique_ptr<generation> run;
  std::mutex stepping;
};
using shared_run = std::shared_ptr<held_run>;

/// The run for this thread alone. `busy` where another is at it.
class run_in_use {
public:
  explicit run_in_use(const shared_run& of)
      : lock_(of->stepping, std::try_to_lock), run_(*of->run) {
    if (!lock_.owns_lock()) {
      throw native_error{fail(errc::busy, "another thread computes this run's next token; let one "
                                          "thread take the tokens of a run")};
    }
  }
  generation* operator->() const noexcept { return &run_; }

private:
  std::unique_lock<std::mutex> lock_;
  generation& run_;
};

template <class Number>
Number number_in(const py::dict& from, std::string_view name, std::string_view range) {
  try {
    return from[py::str{std::string{name}}].cast<Number>();
  } catch (const py::cast_error&) {
    throw native_error{fail(errc::invalid_argument, "{} {}", name, range)};
  }
}

/// Each parameter by its name in JSON.
void read_sampling(const py::dict& from, sampling_params& to) {
  for_each_parameter([&](const auto& row) {
    auto& value = to.*row.value;
    value = number_in<std::decay_t<decltype(value)>>(from, row.name, range_of(row));
  });
  to.seed = number_in<std::uint64_t>(from, "seed", "must be a whole number from 0 to 2^64 - 1");
}

shared_run start_run(const shared_model& model, std::vector<token_id> prompt,
                     std::uint32_t max_tokens, const py::dict& sampling,
                     std::vector<std::string> stop, const py::dict& how) {
  generation_plan plan;
  plan.terms.prompt = std::move(prompt);
  plan.terms.max_tokens = max_tokens;
  plan.terms.stop = std::move(stop);
  read_sampling(sampling, plan.terms.sampling);
  plan.stages = number_in<std::uint32_t>(how, "stages", "must be a whole number, 1 or more");
  plan.prefill_chunk =
      number_in<std::uint32_t>(how, "prefill_chunk", "must be a whole number, 1 or more");
  plan.keep_logits = how["keep_logits"].cast<bool>();
  plan.keep_boundaries = how["keep_boundaries"].cast<bool>();
  plan.threads = model->threads();
  const py::gil_scoped_release apart;
  unwrap(model->prepare());
  auto run = unwrap(generation::make(model->model().weights, *model->model().vocabulary,
                                     model->kernels(), std::move(plan)));
  auto held = std::make_shared<held_run>();
  held->model = model;
  held->run = std::move(run);
  return held;
}

/// The next token with its text, or None once the run is over.
py::object step_of(const shared_run& of) {
  result<generation::step> made{generation::step{}};
  {
    const py::gil_scoped_release apart;
    const run_in_use run{of};
    if (run->is_over()) {
      made = error{errc::not_found, {}};
    } else {
      made = run->next();
    }
  }
  if (!made && made.error().code == errc::not_found) {
    return py::none();
  }
  generation::step taken = unwrap(std::move(made));
  return py::make_tuple(taken.token ? py::cast(*taken.token) : py::none(), py::str(taken.text));
}

/// Kept tensors do not grow any more once a run is over.
void check_over(const run_in_use& run) {
  if (!run->is_over()) {
    throw native_error{fail(errc::invalid_argument,
                            "the run is not over; take all its tokens, or cancel it, before "
                            "looking at what it kept")};
  }
}

memory_view logits_of(const shared_run& of) {
  const run_in_use run{of};
  check_over(run);
  const std::span<const float> kept = run->logits();
  const auto width = static_cast<py::ssize_t>(of->model->model().weights.config.vocabulary);
  return dense_view(of, kept.data(), "f", 4,
                    {static_cast<py::ssize_t>(kept.size()) / width, width});
}

memory_view boundary_of(const shared_run& of, std::size_t edge) {
  const run_in_use run{of};
  check_over(run);
  if (edge >= run->boundaries().size()) {
    throw native_error{fail(errc::not_found,
                            "the run kept {} boundaries; with keep_boundaries it keeps one behind "
                            "each stage but the last",
                            run->boundaries().size())};
  }
  const std::vector<float>& kept = run->boundaries()[edge];
  const auto dim = static_cast<py::ssize_t>(of->model->model().weights.config.dim);
  return dense_view(of, kept.data(), "f", 4, {static_cast<py::ssize_t>(kept.size()) / dim, dim});
}

memory_view kept_of(const shared_run& of, layer_index layer, bool values) {
  const run_in_use run{of};
  check_over(run);
  const compute::kv_cache* const kv = run->cache_of(layer);
  if (kv == nullptr) {
    throw native_error{fail(errc::not_found, "the model has {} layers, and no layer {}",
                            of->model->model().weights.config.layers, layer)};
  }
  const std::uint16_t* const data = values ? kv->values(layer, 0) : kv->keys(layer, 0);
  const auto dim = static_cast<py::ssize_t>(kv->head_dim());
  memory_view view = dense_view(
      of, data, "e", 2,
      {static_cast<py::ssize_t>(kv->kv_heads()), static_cast<py::ssize_t>(kv->length()), dim});
  view.strides[0] = static_cast<py::ssize_t>(kv->capacity()) * dim * 2; // heads lie apart
  return view;
}

py::dict config_of(const shared_model& m) {
  const compute::model_config& c = m->model().weights.config;
  py::dict out;
  out["architecture"] = c.architecture;
  out["name"] = c.name;
  out["layers"] = c.layers;
  out["dim"] = c.dim;
  out["heads"] = c.heads;
  out["kv_heads"] = c.kv_heads;
  out["head_dim"] = c.head_dim;
  out["vocabulary"] = c.vocabulary;
  out["context"] = c.context;
  return out;
}

std::vector<token_id> chat_of(const shared_model& m,
                              const std::vector<std::pair<std::string, std::string>>& messages) {
  const py::gil_scoped_release apart;
  apps::conversation said = unwrap(apps::conversation::begin(m->model(), {}));
  for (const auto& [role, text] : messages) {
    said.add(role, text);
  }
  return unwrap(said.prompt());
}

void bind_runs(py::module_& module) {
  py::class_<held_run, shared_run>(module, "Generation", "A run, computed token by token.")
      .def("step", &step_of)
      .def("cancel", [](const shared_run& r) { r->run->cancel(); })
      .def_property_readonly("over",
                             [](const shared_run& r) {
                               return run_in_use { r } -> is_over();
                             })
      .def_property_readonly("text",
                             [](const shared_run& r) {
                               return run_in_use { r } -> text();
                             })
      .def_property_readonly("tokens",
                             [](const shared_run& r) {
                               return run_in_use { r } -> tokens();
                             })
      .def_property_readonly("prompt",
                             [](const shared_run& r) {
                               const auto ids = run_in_use { r } -> prompt();
                               return std::vector<token_id>{ids.begin(), ids.end()};
                             })
      .def_property_readonly("positions",
                             [](const shared_run& r) {
                               return run_in_use { r } -> positions();
                             })
      .def_property_readonly(
          "finish_reason",
          [](const shared_run& r) { return std::string{to_string(run_in_use { r } -> reason())}; })
      .def_property_readonly(
          "transcript",
          [](const shared_run& r) { return to_hex(unwrap(run_in_use { r } -> transcript())); })
      .def("units",
           [](const shared_run& r) {
             py::list all;
             for (const compute::unit_leaf& leaf : run_in_use { r } -> leaves()) {
               all.append(py::make_tuple(leaf.unit.window, leaf.unit.layer, leaf.positions,
                                         to_hex(leaf.boundary)));
             }
             return all;
           })
      .def("stages",
           [](const shared_run& r) {
             std::vector<std::pair<layer_index, layer_index>> cut;
             for (const layer_range range : run_in_use { r } -> cut()) {
               cut.emplace_back(range.first, range.last);
             }
             return cut;
           })
      .def("logits", &logits_of)
      .def("boundary", &boundary_of, py::arg("edge"))
      .def("kept", &kept_of, py::arg("layer"), py::arg("values"));
}

} // namespace

void bind_models(py::module_& module) {
  py::class_<held_model, shared_model>(module, "Model", "A model with its tokenizer.")
      .def(py::init(&open_model), py::arg("path"), py::arg("threads"), py::arg("isa"))
      .def_property_readonly("path", [](const shared_model& m) { return m->model().source.path; })
      .def_property_readonly("isa",
                             [](const shared_model& m) { return std::string{m->kernels().name}; })
      .def_property_readonly("threads", [](const shared_model& m) { return m->threads(); })
      .def_property_readonly("config", &config_of)
      .def_property_readonly("file",
                             [](const shared_model& m) {
                               return shared_file{m, &m->model().source};
                             })
      .def(
          "encode",
          [](const shared_model& m, const std::string& text, bool add_bos, bool parse_special) {
            const py::gil_scoped_release apart;
            return unwrap(m->model().vocabulary->encode(text, {add_bos, parse_special}));
          },
          py::arg("text"), py::arg("add_bos"), py::arg("parse_special"))
      .def(
          "decode",
          [](const shared_model& m, const std::vector<token_id>& ids, bool special) {
            return py::bytes(m->model().vocabulary->decode(ids, special));
          },
          py::arg("tokens"), py::arg("special"))
      .def(
          "piece",
          [](const shared_model& m, token_id id) {
            return py::bytes(m->model().vocabulary->piece(id, true));
          },
          py::arg("token"))
      .def("chat", &chat_of, py::arg("messages"))
      .def("prepare",
           [](const shared_model& m) {
             const py::gil_scoped_release apart;
             unwrap(m->prepare());
           })
      .def("start", &start_run, py::arg("prompt"), py::arg("max_tokens"), py::arg("sampling"),
           py::arg("stop"), py::arg("how"));
  bind_runs(module);
}

} // namespace ovir::python
