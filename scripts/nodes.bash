# Node processes of this machine, for scripts/run and scripts/cluster, which source it. A node has a
# folder $cluster/NAME with its state and its process id, a configuration $cluster/NAME.toml and a log
# $cluster/NAME.log; $cluster/admin.key is who operates them. The caller sets `cluster` and `ovir`.

# A port of 127.0.0.1 without anybody, below those the system gives to outgoing connections; another
# one each time. The result is in `port`.
taken_ports=' '
find_port() {
  local tried
  for tried in {1..1000}; do
    port=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
    [[ $taken_ports != *" $port "* ]] || continue
    awk -v end="$(printf ':%04X' "$port")" '$2 ~ end "$" { exit 1 }' /proc/net/tcp || continue
    taken_ports+="$port "
    return
  done
  fail "no port of 127.0.0.1 is free"
}

# make_key FILE: makes a secret key where there is none and prints the public one.
make_key() { "$ovir" keygen -o "$1" 2>/dev/null || fail "ovir keygen -o $1 failed"; }

access_for() { printf '\n[[access]]\nkey = "%s"\nroles = [%s]\n' "$1" "$2"; }

# The value of a key of a configuration, without quotes: config_value KEY FILE.
config_value() { sed -n "s/^$1 = \"\\(.*\\)\"\$/\\1/p" "$2" | head -n 1; }

admin_address() { config_value admin_listen "$cluster/$1.toml"; }

# The process of a node, or nothing when it does not run. A number alone could be anybody's.
node_process() {
  local process
  process=$(cat "$cluster/$1/process" 2>/dev/null) || return 0
  tr '\0' ' ' 2>/dev/null <"/proc/$process/cmdline" | grep -qF -- " -c $cluster/$1.toml " || return 0
  ! grep -q '^State:.Z' "/proc/$process/status" 2>/dev/null || return 0
  echo "$process"
}

start_node() {
  mkdir -p "$cluster/$1"
  setsid "$ovir" node -c "$cluster/$1.toml" </dev/null >>"$cluster/$1.out" 2>&1 &
  echo $! >"$cluster/$1/process"
  disown
}

# signal_node NAME SIGNAL: fails when it does not run.
signal_node() {
  local process
  process=$(node_process "$1")
  [ -n "$process" ] && kill "-$2" "$process" 2>/dev/null
}

# wait_gone NAME SECONDS: fails when it still runs then.
wait_gone() {
  local end=$((SECONDS + $2))
  while [ -n "$(node_process "$1")" ]; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.05
  done
}

# ask_node NAME COMMAND [OPTION...]: a command of the admin shell, at one node.
ask_node() {
  local name=$1 command=$2
  shift 2
  "$ovir" shell --key "$cluster/admin.key" --connect "$(admin_address "$name")" -e "$command" \
    --deadline 5 "$@"
}

# wait_members NAME...: until each of them answers and sees as many members alive as are named.
wait_members() {
  local name end=$((SECONDS + 60))
  for name in "$@"; do
    until [ "$(ask_node "$name" nodes --json 2>/dev/null | grep -c '"health": "alive"')" -ge $# ]; do
      if [ -z "$(node_process "$name")" ]; then
        tail -n 20 "$cluster/$name.out" "$cluster/$name.log" >&2 2>/dev/null || true
        fail "node $name ended; what it said is above"
      fi
      [ $SECONDS -lt $end ] || fail "node $name did not find all members; see $cluster/$name.log"
      sleep 0.1
    done
  done
}

# Ends every node named: politely, then not.
end_nodes() {
  local name
  for name in "$@"; do
    signal_node "$name" CONT || true
    signal_node "$name" TERM || true
  done
  for name in "$@"; do
    wait_gone "$name" 10 || signal_node "$name" KILL || true
  done
}
