# An answer over a relay that is killed, for tests/integration/links/nat, which sources this: its machines, both routers
# symmetric, are there, and no node runs. Five `ovir node`: two relays outside that compute nothing, k1, which keeps a
# ledger, and at home h1, which takes the request and computes the last two layers, and h2, which computes the first two.
# What passes both relays is written down; the prompt's tokens go h1 -> h2, activations h2 -> h1. At the end the relay
# that lives is paid for what it carried.

answer_prompt='A silver lantern promised the old fox that the river would sing.'
answer_tokens=400
answer_bytes=100000 # less than a relay passes for half of it
answer_files=$work/answer_over_relays
relay_fee=1000000 # micro-credits for a MiB

# NAME ADDRESS ROLES [LAYERS]: a configuration and a key; the keys of the others follow by `let_in`.
write_node() {
  local name=$1 address=$2 roles=$3 layers=${4:-} folder=$answer_files/$1
  mkdir -p "$folder"
  keys[$name]=$("$ovir" keygen -o "$folder/node.key" 2>/dev/null) || fail "ovir keygen failed"
  {
    printf 'name = "%s"\ncluster = "lab"\nroles = [%s]\nlisten = "%s:7300"\n' "$name" "$roles" "$address"
    printf 'admin_listen = "127.0.0.1:7310"\nstate = "%s"\n' "$folder"
    case $name in
      r1) ;;
      r2) printf 'seeds = ["198.51.100.1:7300"]\n' ;;
      *) printf 'seeds = ["198.51.100.1:7300", "192.0.2.1:7300"]\n' ;;
    esac
    [ -z "$layers" ] || printf '\n[[model]]\npath = "embedded"\nlayers = "%s"\n' "$layers"
    if [ "$name" = k1 ]; then
      printf '\n[ledger]\npolicy = "%s"\n' "$answer_files/rules.toml"
    else
      printf '\n[ledger]\nkeeper = "%s"\n' "${keys[k1]}"
    fi
    printf '\n[limits]\nthreads = 1\n\n[cache]\nenabled = false\n\n[log]\nfile = "%s.log"\n' "$folder"
  } >"$folder.toml"
  roles_of[$name]=$roles
}
let_in() {
  local name other
  for name in "${!keys[@]}"; do
    {
      printf '\n[[access]]\nkey = "%s"\nroles = ["reader", "operator"]\n' "$admin"
      for other in "${!keys[@]}"; do
        [ "$other" = "$name" ] ||
          printf '\n[[access]]\nkey = "%s"\nroles = [%s]\n' "${keys[$other]}" "${roles_of[$other]}"
      done
    } >>"$answer_files/$name.toml"
  done
}
start_node() {
  local folder=$answer_files/$1
  begin "$1" env OVIR_HOME="$folder" "$ovir" node -c "$folder.toml" </dev/null >"$folder.out" 2>&1 &
  started+=($!)
  nodes[$1]=$!
}
shell_at() { on "$1" "$ovir" shell --key "$answer_files/admin.key" --connect 127.0.0.1:7310 -e "$2" "${@:3}"; }
list() { shell_at "$1" nodes --json 2>/dev/null; }
ask_to() {
  local how="-n $answer_tokens --min-tokens $answer_tokens --temp 0.8 --seed 11"
  shell_at h1 "run \"$answer_prompt\" $how" >"$1" 2>"$1.err"
}
transcript_of() { sed -n 's/^transcript //p' "$1.err"; }
passed_by() { list "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["reach"]["passed_bytes"])'; }
number_of() { sed -n "s/.*\\b$2=\\([0-9]*\\).*/\\1/p" <<<"$1"; }
search() { python3 "$lab/nat_capture.py" "$1" "$2" "$answer_prompt" "$prompt_tokens"; }

# NAME FINDING SECRETS: none of them, or each, is there.
has_none() {
  local name
  for name in $3; do [ "$(number_of "$2" "$name")" = 0 ] || fail "$1 can be read: $2"; done
}
has_each() {
  local name
  for name in $3; do
    [ "$(number_of "$2" "$name")" -gt 0 ] || fail "the search is blind: it does not find $name in $1: $2"
  done
}

record_at() {
  : >"$answer_files/$1.record"
  begin "$1" python3 "$lab/nat_capture.py" record wan "$answer_files/$1.packets" >"$answer_files/$1.record" 2>&1 &
  started+=($!)
  recorders[$1]=$!
  until_true grep -q ready "$answer_files/$1.record" || fail "no packets are recorded: $(cat "$answer_files/$1.record")"
}
stop_recording() {
  kill "${recorders[$1]}"
  wait "${recorders[$1]}" || true
  grep -qx 'dropped 0' "$answer_files/$1.record" || fail "the record of $1 has holes: $(cat "$answer_files/$1.record")"
}

# Something unencrypted on the same way: the search has to find all of it in the record.
pass_in_the_clear() {
  local address
  address=$(sed -n 's/^listen = "\(.*\):7300"/\1/p' "$answer_files/$1.toml")
  : >"$answer_files/heard"
  begin "$1" python3 "$lab/nat_capture.py" hear "$address" 7399 >"$answer_files/heard" 2>&1 &
  started+=($!)
  until_true grep -q ready "$answer_files/heard" || fail "no one hears at $address: $(cat "$answer_files/heard")"
  on h1 python3 "$lab/nat_capture.py" pass "$address" 7399 "$answer_prompt" "$prompt_tokens"
  wait $!
}

# Requests are paid, without bonds, and relays, too.
write_rules() {
  cat >"$answer_files/rules.toml" <<EOF
mode = "zero-bond"
[rules]
relay_fee = $relay_fee
[deterrence]
audit_rate_ppm = 900000
unit_fee = 32000000
saved = 25600000
planted_ppm = 900000
audit_fee = 8000000
audit_cost = 6400000
EOF
}
mint() { shell_at k1 "ledger mint ${keys[$1]} $2" >/dev/null 2>"$answer_files/mint"; }
free_of() {
  shell_at k1 "ledger balance ${keys[$1]}" --json 2>/dev/null | python3 -c 'import json, sys; print(json.load(sys.stdin)["free"])'
}

start_answering() {
  local name
  machine k1
  outside k1 192.0.2.9
  write_rules
  write_node k1 192.0.2.9 '"ledger"'
  write_node r1 198.51.100.1 '"relay"'
  write_node r2 192.0.2.1 '"relay"'
  write_node h1 10.1.0.2 '"scheduler", "worker"' 2-3
  write_node h2 10.2.0.2 '"worker"' 0-1
  let_in
  for name in r1 r2; do record_at "$name"; start_node "$name"; done
  for name in k1 h1 h2; do start_node "$name"; done
  wait_linked
  until_true mint h1 10000000000 || fail "nothing is minted: $(cat "$answer_files/mint")"
  until_true mint h2 10000000000 || fail "nothing is minted: $(cat "$answer_files/mint")"
}
wait_linked() {
  relayed() { [ "$(link_of h1 h2)" = "alive relayed" ] && [ "$(link_of h2 h1)" = "alive relayed" ]; }
  until_true relayed || fail "h1 and h2 have no relayed link: $(tail -n 5 "$answer_files"/*.log "$answer_files"/*.out)"
  at_both() { [[ $(link_of "$1" r1) == alive* && $(link_of "$1" r2) == alive* ]]; }
  local name
  for name in h1 h2; do
    until_true at_both "$name" || fail "$name is not linked with both relays: $(tail -n 5 "$answer_files"/*.log)"
  done
}

# Asks, and finds out which relay carries the answer: that is the nodes' choice.
ask_undisturbed() {
  local before
  before=$(passed_by r2)
  ask_to "$answer_files/undisturbed" || fail "no answer: $(cat "$answer_files/undisturbed.err")"
  [ -n "$(transcript_of "$answer_files/undisturbed")" ] || fail "no transcript: $(cat "$answer_files/undisturbed.err")"
  busy=r1 other=r2
  [ $(($(passed_by r2) - before)) -lt "$answer_bytes" ] || { busy=r2 other=r1; }
}

# Asks again, kills the relay `busy` once a part of the answer is there, and compares. False: it was killed too late.
ask_and_kill() {
  local asked at_kill whole before
  before=$(passed_by "$other")
  : >"$answer_files/disturbed"
  ask_to "$answer_files/disturbed" &
  asked=$!
  whole=$(stat -c %s "$answer_files/undisturbed")
  until [ "$(stat -c %s "$answer_files/disturbed")" -gt $((whole / 8)) ]; do
    kill -0 "$asked" || fail "the answer ends at once: $(cat "$answer_files/disturbed.err")"
  done
  disown "${nodes[$busy]}"
  kill -KILL "${nodes[$busy]}"
  at_kill=$(stat -c %s "$answer_files/disturbed")
  wait "$asked" || fail "no answer after the end of $busy: $(cat "$answer_files/disturbed.err")"
  [ "$at_kill" -lt $((whole / 2)) ] || return 1
  [ "$(sed -n 's/^recoveries //p' "$answer_files/disturbed.err")" -ge 1 ] ||
    fail "the end of $busy was not felt: $(cat "$answer_files/disturbed.err")"
  cmp "$answer_files/undisturbed" "$answer_files/disturbed" || fail "the text is another one"
  [ "$(transcript_of "$answer_files/undisturbed")" = "$(transcript_of "$answer_files/disturbed")" ] ||
    fail "the transcript is another one: $(cat "$answer_files/disturbed.err")"
  [ $(($(passed_by "$other") - before)) -gt "$answer_bytes" ] || fail "$other did not carry the rest"
  echo "$busy is killed at byte $at_kill of $whole of an answer: it goes on over $other;" \
    "same text, transcript $(transcript_of "$answer_files/disturbed" | head -c 16)"
}

# Its streams end with h1: then the rest of them is asked for.
relay_is_paid() {
  local carried paid
  kill "${nodes[h1]}"
  wait "${nodes[h1]}" 2>/dev/null || true
  is_paid() { [ "$(free_of "$other")" -ge $((answer_bytes * relay_fee / 1048576)) ]; }
  until_true is_paid || fail "$other is not paid: $(tail -n 5 "$answer_files/$other.log")"
  carried=$(passed_by "$other")
  paid=$(free_of "$other")
  [ "$paid" -le $((carried * relay_fee / 1048576)) ] || fail "$other is paid $paid for $carried bytes"
  kill "${nodes[k1]}"
  wait "${nodes[k1]}" 2>/dev/null || true
  "$ovir" ledger verify --ledger "$answer_files/k1/ledger" >"$answer_files/verified" 2>&1 ||
    fail "the ledger is wrong: $(cat "$answer_files/verified")"
  echo "$other is paid $paid micro-credits by who received, of $carried bytes that it passed; the ledger verifies"
}

answer_over_a_killed_relay() {
  local -A keys=() roles_of=() recorders=()
  local admin prompt_tokens name found busy other tries=1
  mkdir -p "$answer_files"
  admin=$("$ovir" keygen -o "$answer_files/admin.key" 2>/dev/null)
  prompt_tokens=$("$ovir" tokenize -m assets/tales-q4_k_m.gguf --json "$answer_prompt" |
    python3 -c 'import json, sys; print(*json.load(sys.stdin)["ids"], sep=",")')
  start_answering
  ask_undisturbed
  has_none "the memory of $busy" "$(search memory "${nodes[$busy]}")" "prompt tokens frames"
  until ask_and_kill; do
    [ $((tries += 1)) -le 5 ] || fail "the answer is over each time before the relay is killed"
    start_node "$busy"
    wait_linked
    ask_undisturbed
  done

  # Nothing of it can be read at a relay, and the search would have found it.
  found=$(search memory "${nodes[$other]}")
  has_none "the memory of $other" "$found" "prompt tokens frames"
  echo "a relay's memory: $found"
  found=$(search memory "${nodes[h2]}")
  has_each "the memory of h2" "$found" "tokens frames"
  echo "the memory of h2, which computes: $found"
  for name in r1 r2; do
    stop_recording "$name"
    found=$(search packets "$answer_files/$name.packets")
    [ "$(number_of "$found" bytes)" -gt "$answer_bytes" ] || fail "the record of $name is too short: $found"
    has_none "what passes $name" "$found" "prompt tokens frames links"
    echo "what passes $name: $found"
  done
  record_at "$other"
  pass_in_the_clear "$other"
  stop_recording "$other"
  found=$(search packets "$answer_files/$other.packets")
  has_each "what passes in the clear" "$found" "prompt tokens frames links"
  echo "the same in the clear: $found"
  relay_is_paid
}
