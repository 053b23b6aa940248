// Asks a cluster, checks the receipt of its answer, and computes the answer again in this process.
#include <ovir/cluster.hpp>
#include <ovir/verifier.hpp>

#include <iostream>

int main(int argc, char** argv) {
  try {
    if (argc != 3) {
      std::cerr << "ask: give the address of a cluster and a prompt\n";
      return 2;
    }
    const ovir::cluster cluster{argv[1]};
    ovir::ask_options options;
    options.max_tokens = 32;
    options.receipt = true;
    const ovir::cluster_answer answer =
        cluster.complete(argv[2], options, [](std::string_view text) {
          std::cout << text << std::flush;
          return true; // false cancels the request
        });
    std::cout << "\n" << answer.finish_reason << " " << answer.transcript << "\n";

    // Whose signatures count is for the reader to say: of nodes you know, give the keys.
    ovir::signers who;
    who.any = true;
    const ovir::verdict verdict = ovir::verify_receipt(cluster.receipt(answer), who, ovir::model{});
    for (const ovir::verify_failure& failure : verdict.failures) {
      std::cout << "wrong: " << failure.what << "\n";
    }
    std::cout << (verdict ? "right " : "not right ") << verdict.tier << " " << verdict.transcript
              << "\n";
    return verdict ? 0 : 1;
  } catch (const ovir::error& e) {
    std::cerr << "ask: " << e.code() << ": " << e.what() << "\n";
    return 1;
  }
}
