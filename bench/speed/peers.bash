# Sourced by scripts/bench: finds or fetches the programs that OVIR is compared with. Sets `bins`,
# `ik_program` and `exactness`, empty where there is none, and `package_name`.

package=@node-llama-cpp/linux-x64
version=3.22.1
integrity=sha512-5uCCDNqWCNfaAm8aR/Uzxbo4HBpKgNF91kCHPepKhgMg
integrity+=V2OAmatoefbOlMihsqCiH2Od35E/eUHQCFbfRBJuOg==
peer_dir=$root/build/bench/peer
package_name=$package@$version

# llama.cpp, prebuilt for each generation of x86-64 processors. The package is fetched by name and
# exact version, compared with the digest above, and none of its installation scripts runs.
find_llama_cpp() {
  local lock=$peer_dir/node_modules/.package-lock.json
  local log=$root/build/bench/npm.log
  local lock_line="\"integrity\": \"$integrity\""
  bins=$peer_dir/node_modules/$package/bins/linux-x64
  if [ "$(uname -sm)" != 'Linux x86_64' ]; then
    say "llama.cpp: $package is for Linux on x86_64 only; going on without"
    bins=''
    return 0
  fi
  mkdir -p "$peer_dir"
  if ! grep -qsF "$lock_line" "$lock" || [ ! -f "$bins/llama-addon.node" ]; then
    say "llama.cpp: fetching $package_name"
    npm install --prefix "$peer_dir" --ignore-scripts --no-audit --no-fund --no-save \
      --no-package-lock "$package_name" >"$log" 2>&1 || {
      say "llama.cpp: npm could not fetch it (see $log); going on without"
      bins=''
      return 0
    }
  fi
  grep -qsF "$lock_line" "$lock" ||
    end_with 4 "$package_name is not the known one ($integrity); remove $peer_dir and look why"
}

# ik_llama.cpp has no prebuilt program; its own benchmark is what is called.
find_ik_llama_cpp() { # FOLDER or ''
  local file
  ik_program=''
  if [ -z "$1" ]; then
    say "ik_llama.cpp: none named, going on without; to compare with it, build it once:"
    say "  git clone https://github.com/ikawrakow/ik_llama.cpp && cd ik_llama.cpp"
    say "  cmake -B build -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF"
    say "  cmake --build build --target llama-bench, then scripts/bench --ik that/folder"
    return 0
  fi
  for file in "$1/build/bin/llama-bench" "$1/bin/llama-bench" "$1/llama-bench"; do
    if [ -x "$file" ]; then
      ik_program=$file
      return 0
    fi
  done
  end_with 3 "there is no llama-bench in $1, its bin or build/bin; build it, or name another --ik"
}

# OVIR's own kernels beside the same ones with sums in any order; one of the programs for benchmarks.
find_exactness() {
  local built=$root/build/release/ovir_exactness_bench
  [ -z "$exactness" ] || return 0
  if [ -x "$built" ] && grep -q '^OVIR_BUILD_BENCH:BOOL=ON' build/release/CMakeCache.txt; then
    # Not as it was left: it has the kernels of the day it was built.
    scripts/build release ovir_exactness_bench
    exactness=$built
  else
    say "exactness: no ovir_exactness_bench, going on without; scripts/bench --micro builds it"
  fi
}
