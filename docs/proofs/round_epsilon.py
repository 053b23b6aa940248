#!/usr/bin/env python3
"""Recomputes what a private round promises (docs/formats/rounds.md), with nothing of OVIR.

  round_epsilon.py --workers 3 --variance 1500000 --numbers 65536 --clip 4096 --delta-bits 20

WORKERS is members - drop-outs - colluders; VARIANCE the noise of one worker and CLIP the norm of an
update, both in units; NUMBERS how many an update has. With --rounds N the same worker takes part in N
rounds: rhos add up.
"""
import argparse
import math


def rho(workers, variance, numbers, clip):
    """Kairouz, Liu, Steinke, arXiv:2102.06387, theorem 1: epsilon^2 / 2."""
    tau = 10 * sum(math.exp(-2 * math.pi ** 2 * variance * k / (k + 1)) for k in range(1, workers))
    plain = clip ** 2 / (workers * variance)
    epsilon = min(math.sqrt(plain + tau * numbers / 2), math.sqrt(plain) + tau * math.sqrt(numbers))
    return epsilon ** 2 / 2


def epsilon(rho, delta_bits):
    """Canonne, Kamath, Steinke, arXiv:2004.00010, corollary 13, over a grid of orders."""
    least = math.inf
    for j in range(-160, 321):
        above = 2 ** (j / 16)
        alpha = 1 + above
        least = min(least, rho * alpha + (delta_bits * math.log(2) - math.log(alpha)) / above
                    - math.log1p(1 / above))
    return max(least, 0.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("workers", "variance", "numbers", "clip", "delta-bits"):
        parser.add_argument("--" + name, type=int, required=True)
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    total = given.rounds * rho(given.workers, given.variance, given.numbers, given.clip)
    print(f"rho {total:.17g}, epsilon {epsilon(total, given.delta_bits):.17g} at delta "
          f"2^-{given.delta_bits}")


if __name__ == "__main__":
    main()
