# Sourced by what measures nodes, from the checkout, with `invocation_dir` and `ovir` set by then: what
# their options may be, the programs and models they need, and what is read from answers.
source scripts/nodes.bash
source bench/noise.bash
source bench/interval.bash

cmake_options=()

end_with() { # EXIT-CODE TEXT
  local code=$1
  shift
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit "$code"
}
counted() { # OPTION VALUE MAXIMUM
  [[ $2 =~ ^[1-9][0-9]{0,5}$ ]] && [ "$2" -le "$3" ] ||
    usage_error "$1 takes a whole number from 1 to $3, not '$2'"
}
decimal() { # OPTION VALUE
  [[ $2 =~ ^(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?$ ]] ||
    usage_error "$1 takes a number of zero or more, not '$2'"
}
from_caller() { realpath -m -- "$(cd "$invocation_dir" && realpath -m -- "$1")"; }

# Builds programs of the release preset where they are stale; those of this folder need OVIR_BUILD_BENCH.
build_programs() { # NAME...
  say "building $*"
  { cmake --preset release "${cmake_options[@]}" &&
    cmake --build build/release --target "$@" --parallel "${OVIR_JOBS:-$(nproc)}"; } >/dev/null ||
    end_with 4 "no $*: the build failed; see the messages above"
}
make_model() { # FILE OPTION...
  local file=$1
  shift
  [ ! -f "$file" ] || return 0
  say "making $file"
  mkdir -p "$(dirname "$file")"
  "$ovir" model synth "$file.part.$$" "$@" >&2 ||
    end_with 4 "ovir model synth made no model; its message is above"
  mv "$file.part.$$" "$file"
}
layers_of() { # MODEL
  local layers
  layers=$("$ovir" model inspect "$1" 2>/dev/null |
    sed -n 's/.*block_count[[:space:]]*[a-z0-9]*[[:space:]]*\([0-9]*\).*/\1/p' | head -n 1)
  [[ $layers =~ ^[0-9]+$ ]] && [ "$layers" -ge 2 ] || end_with 3 "$1 does not say its layers"
  echo "$layers"
}
# The value of a number key of a JSON document on standard input, the first there is.
json_number() { sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\(-\{0,1\}[0-9.e+-]*\).*/\1/p" | head -n 1; }
# Bytes per second that one thread reads just now. A hypervisor that moves processors between cores
# changes it for seconds, and what is compared then has met two machines.
reading_now() { "$ovir" doctor --json -t 1 | json_number all_threads; }
# Whether the fastest of these readings is more than MOST times the slowest.
is_unsteady() { # MOST READING...
  printf '%s\n' "${@:2}" | sort -g |
    awk -v most="$1" 'NR == 1 { low = $1 } END { exit !($1 > most * low) }'
}

about_machine() {
  printf 'machine   %s, %s processors, load %s\n' \
    "$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
    "$(cut -d ' ' -f 1-3 /proc/loadavg)"
  printf 'commit    %s\n' "$(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
}

# A file that gathers rounds over several calls says in its first line what they are rounds of.
open_rounds() { # FILE WHAT
  local about
  about="# commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown), $2"
  if [ -s "$1" ]; then
    [ "$(head -n 1 "$1")" = "$about" ] ||
      end_with 3 "$1 holds other rounds ($(head -n 1 "$1")); name another file"
  else
    mkdir -p "$(dirname "$1")"
    printf '%s\n' "$about" >"$1"
  fi
}
percent() { case $1 in *inf) printf '%s' "$1" ;; *) awk -v x="$1" 'BEGIN { printf "%+.2f", 100 * x }' ;; esac; }
