// Runs a model in this process and prints its text as it comes. The transcript says what was
// computed: it is that of `ovir run -p PROMPT -n 32`, on every machine.
#include <ovir/engine.hpp>

#include <iostream>
#include <string>

int main(int argc, char** argv) {
  try {
    const std::string prompt = argc > 1 ? argv[1] : "Once upon a time";
    // The small model inside the library; a second argument names a GGUF file.
    const ovir::model model = argc > 2 ? ovir::model{argv[2]} : ovir::model{};
    ovir::generate_options options;
    options.max_tokens = 32;
    const ovir::run run = model.generate(prompt, options, [](const ovir::token& token) {
      std::cout << token.text << std::flush;
      return true; // false ends the run
    });
    std::cout << "\n" << run.finish_reason << " " << run.transcript << "\n";
    return 0;
  } catch (const ovir::error& e) {
    std::cerr << "story: " << e.code() << ": " << e.what() << "\n";
    return 1;
  }
}
