# Sourced by what compares two sides in rounds.

# Of the rounds' changes on standard input, a number a line: "TYPICAL LOW HIGH ROUNDS"; of fewer than
# three nothing, and an exit code. TYPICAL is the median of the means of all pairs, each round with
# itself too (Hodges and Lehmann, 1963). LOW to HIGH is its 95 % interval by Wilcoxon's signed ranks:
# normal, corrected so that it is rather a little too wide, and infinite below six rounds. It asks that
# changes lie alike on both sides, as ratios near 1 of neighbours in alternating order do, and not
# that they are normal: now and then another user of the machine gets in between. The interval of
# the median by signs asks for nothing and is a quarter wider.
typical_change() {
  sort -g | awk '
    { v[NR] = $1 }
    END {
      n = NR
      if (n < 3) exit 1
      all = n * (n + 1) / 2
      spread = sqrt(n * (n + 1) * (2 * n + 1) / 24)
      outside = n < 6 ? -1 : int(all / 2 - 1.96 * spread - 0.5)
      print n, all, outside
      for (i = 1; i <= n; i++) for (j = i; j <= n; j++) printf "%.9g\n", (v[i] + v[j]) / 2
    }' | {
    read -r rounds all outside || return 1
    sort -g | awk -v rounds="$rounds" -v all="$all" -v outside="$outside" '
      { w[NR] = $1 }
      END {
        typical = all % 2 ? w[(all + 1) / 2] : (w[all / 2] + w[all / 2 + 1]) / 2
        if (outside < 0) print typical, "-inf", "inf", rounds
        else print typical, w[outside + 1], w[all - outside], rounds
      }'
  }
}
