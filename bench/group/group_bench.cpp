// A segment in the hands of a group of processes, beside one process: tokens per second of a prompt
// and of decoding, with the digest of the logits, which is the same for all.
//   ovir_group_bench MEMBERS LAYERS DIM FFN HEADS KV_HEADS [PROMPT] [TOKENS] [ROUNDS]
// The model is synthetic, Q4_K_M, of that shape. Every process computes on one thread. Sides
// alternate within a round; medians count.
#include "actors/group/group_leader.hpp"
#include "actors/group/group_member.hpp"
#include "bench/group/stream_links.hpp"
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/make/synth.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace ovir;
using namespace ovir::compute;
using namespace std::chrono_literals;

struct shape_of_run {
  std::uint32_t members;
  synth_spec spec;
  std::uint32_t prompt;
  std::uint32_t tokens;
  std::uint32_t rounds;
};

struct measured_run {
  double prompt_seconds{0};
  double token_seconds{0};
  std::string digest;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// A prompt in one pass, then tokens one at a time.
measured_run measure(segment& s, const shape_of_run& run) {
  serial_runner runner;
  segment_state state = s.open(run.prompt + run.tokens, std::size_t{1} << 32U).value();
  hasher digests{"ovir/bench/group"};
  measured_run out;
  step_output step;
  const auto forward = [&](position first, std::uint32_t count) {
    std::vector<token_id> tokens;
    for (std::uint32_t i = 0; i < count; ++i) {
      tokens.push_back((first + i) * 31 % 320);
    }
    step_input in{.first = first, .count = count};
    in.tokens = tokens;
    in.logit_rows = 1;
    if (const auto done = s.forward(state, in, runner, step); !done) {
      fmt::print(stderr, "{}\n", done.error().message);
      std::exit(1);
    }
    digests.update(std::as_bytes(std::span{std::as_const(step.logits)}));
  };
  auto start = std::chrono::steady_clock::now();
  forward(0, run.prompt);
  out.prompt_seconds = seconds_since(start) / run.prompt;
  start = std::chrono::steady_clock::now();
  for (std::uint32_t i = 0; i < run.tokens; ++i) {
    forward(run.prompt + i, 1);
  }
  out.token_seconds = seconds_since(start) / run.tokens;
  out.digest = to_hex(digests.finish()).substr(0, 16);
  return out;
}

void serve_member(const model& m, const segment_cut& cut, std::uint32_t self,
                  std::vector<int> sockets) {
  serial_runner runner;
  auto part = segment_part::make(m, cut, self, *select_kernels({}).value(), runner, true).value();
  bench::stream_links links{std::move(sockets)};
  actors::group_member member{{1, self, 60s}, std::move(part), links, std::size_t{1} << 32U};
  for (;;) {
    const auto served = member.serve(links.now() + 1h, runner);
    if (!served || *served != actors::group_member::served::order) {
      return;
    }
  }
}

/// Sockets between all members: [member][other].
std::vector<std::vector<int>> connect_all(std::uint32_t members) {
  std::vector<std::vector<int>> all(members, std::vector<int>(members, -1));
  for (std::uint32_t i = 0; i < members; ++i) {
    for (std::uint32_t j = 0; j < i; ++j) {
      int pair[2] = {-1, -1};
      if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) {
        std::exit(1);
      }
      all[i][j] = pair[0];
      all[j][i] = pair[1];
    }
  }
  return all;
}

/// What is not this member's is closed, so that an end is seen.
std::vector<int> take_own(std::vector<std::vector<int>>& all, std::uint32_t self) {
  for (std::uint32_t i = 0; i < all.size(); ++i) {
    for (const int socket : all[i]) {
      if (i != self && socket >= 0) {
        close(socket);
      }
    }
  }
  return all[self];
}

measured_run measure_group(const model& m, const segment_cut& cut, const shape_of_run& run) {
  auto sockets = connect_all(run.members);
  std::vector<pid_t> children;
  for (std::uint32_t i = 1; i < run.members; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      serve_member(m, cut, i, take_own(sockets, i));
      std::_Exit(0);
    }
    children.push_back(child);
  }
  serial_runner runner;
  const kernel_set& kernels = *select_kernels({}).value();
  measured_run out;
  {
    auto links = std::make_shared<bench::stream_links>(take_own(sockets, 0));
    auto part = segment_part::make(m, cut, 0, kernels, runner, true).value();
    auto leader = std::make_unique<actors::group_leader>(
        actors::group_seat{1, 0, 30s}, std::move(part), nullptr, std::move(links));
    const auto s = segment::make_with(m, cut.layers, kernels, std::move(leader)).value();
    out = measure(*s, run); // the first is not counted: members load meanwhile
    out = measure(*s, run);
  }
  for (const pid_t child : children) {
    waitpid(child, nullptr, 0);
  }
  return out;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct side {
  std::string name;
  std::vector<double> prompt;
  std::vector<double> token;
  std::string digest;

  void add(const measured_run& r) {
    prompt.push_back(r.prompt_seconds);
    token.push_back(r.token_seconds);
    digest = r.digest;
  }
};

int run_all(const shape_of_run& run) {
  std::vector<std::byte> file;
  const auto sink = [&](std::span<const std::byte> bytes) -> result<void> {
    file.insert(file.end(), bytes.begin(), bytes.end());
    return {};
  };
  if (const auto made = write_synth(run.spec, sink, {}); !made) {
    fmt::print(stderr, "{}\n", made.error().message);
    return 1;
  }
  const gguf parsed = gguf::parse(file).value();
  const model m = bind_model(parsed).value();
  serial_runner runner;
  const kernel_set& kernels = *select_kernels({}).value();
  model packed = m;
  (void)check_weights(packed, {0, run.spec.layers}, runner).has_value();
  const packing_plan plan = plan_packing(packed, {0, run.spec.layers}, kernels.id);
  const auto memory = reserve(plan.bytes + 64);
  for (const packing_plan::part& one : plan.parts) {
    pack_weight(one, static_cast<std::byte*>(memory.get()), runner);
  }
  const auto alone = segment::make_checked(packed, {0, run.spec.layers}, kernels).value();
  std::vector<side> sides{{"one process", {}, {}, {}}};
  std::vector<segment_cut> cuts;
  const std::vector<std::uint32_t> shares(run.members, 1);
  const std::vector<std::pair<std::string, cut_wish>> ways{
      {"floats", {output_cut::rows, output_cut::rows, always}},
      {"quantised above 4 rows", {output_cut::rows, output_cut::rows, 4}},
      {"columns", {output_cut::columns, output_cut::columns, 0}}};
  for (const auto& [name, wish] : ways) {
    cuts.push_back(cut_segment(m, {0, run.spec.layers}, shares, wish).value());
    sides.push_back({name, {}, {}, {}});
  }
  (void)measure(*alone, run);
  for (std::uint32_t round = 0; round < run.rounds; ++round) {
    sides[0].add(measure(*alone, run));
    for (std::size_t i = 0; i < cuts.size(); ++i) {
      sides[i + 1].add(measure_group(m, cuts[i], run));
    }
  }
  const double prompt = median(sides[0].prompt);
  const double token = median(sides[0].token);
  for (const side& s : sides) {
    fmt::print(
        "{:<24} prompt {:9.2f} tokens/s ({:.2f}), decode {:9.2f} tokens/s ({:.2f}), logits {}\n",
        s.name, 1 / median(s.prompt), prompt / median(s.prompt), 1 / median(s.token),
        token / median(s.token), s.digest);
  }
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 7) {
    std::fputs("ovir_group_bench MEMBERS LAYERS DIM FFN HEADS KV_HEADS [PROMPT] [TOKENS] "
               "[ROUNDS]\n",
               stderr);
    return 2;
  }
  const auto number = [&](int i, std::uint32_t otherwise) {
    return i < argc ? static_cast<std::uint32_t>(std::strtoul(argv[i], nullptr, 10)) : otherwise;
  };
  shape_of_run run{number(1, 2), {}, number(7, 128), number(8, 32), number(9, 3)};
  run.spec.layers = number(2, 4);
  run.spec.dim = number(3, 2048);
  run.spec.ffn_dim = number(4, 5632);
  run.spec.heads = number(5, 32);
  run.spec.kv_heads = number(6, 4);
  run.spec.context = 4096;
  if (run.members < 2 || run.members > 8 || run.prompt == 0 || run.tokens == 0 || run.rounds == 0 ||
      run.prompt + run.tokens > run.spec.context) {
    std::fputs("2 to 8 members, and a prompt and tokens that fit a context of 4096\n", stderr);
    return 2;
  }
  return run_all(run);
}
