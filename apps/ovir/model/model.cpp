#include "apps/ovir/base/command.hpp"
#include "apps/ovir/model/model_files.hpp"
#include "apps/ovir/model/model_manifest.hpp"

namespace ovir::apps {

void add_model(CLI::App& app, chosen_command& chosen) {
  CLI::App* const model =
      app.add_subcommand("model", "Look into model files, make them, fetch them");
  model->require_subcommand(1);
  add_model_inspect(*model, chosen);
  add_model_synth(*model, chosen);
  add_model_quantize(*model, chosen);
  add_model_manifest(*model, chosen);
  add_model_verify(*model, chosen);
  add_model_commit(*model, chosen);
  add_model_pull(*model, chosen);
  add_model_list(*model, chosen);
}

} // namespace ovir::apps
