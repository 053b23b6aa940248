# Sourced by what measures. How many processors everybody else used between `begin_step` and
# `end_step`: a figure from a busy machine is worth little, and noise is not neutral.
ticks_per_second=$(getconf CLK_TCK)

# Processor time in ticks: of all programs and the hypervisor's theft.
all_ticks() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9 }' /proc/stat; }

# Of this script, of the programs it has waited for, and of the processes given, which go on.
own_ticks() { # PROCESS...
  local process
  {
    sed 's/.*) //' "/proc/$$/stat" | awk '{ print $12 + $13 + $14 + $15 }'
    for process in "$@"; do
      sed 's/.*) //' "/proc/$process/stat" | awk '{ print $12 + $13 }'
    done
  } | awk '{ own += $1 } END { print own }'
}

begin_step() { # PROCESS...
  began_all=$(all_ticks) began_own=$(own_ticks "$@") began_at=$(date +%s%N)
}

# Processors that others used since then, in `noise`. The same processes as before.
end_step() { # PROCESS...
  noise=$(awk -v all=$(($(all_ticks) - began_all)) -v own=$(($(own_ticks "$@") - began_own)) \
    -v time=$(($(date +%s%N) - began_at)) -v rate="$ticks_per_second" \
    'BEGIN { n = (all - own) / rate / (time / 1e9); printf "%.2f", n < 0 ? 0 : n }')
}

# Whether `noise` is more than this many processors.
is_disturbed() { # MOST
  awk -v n="$noise" -v most="$1" 'BEGIN { exit !(n > most) }'
}
