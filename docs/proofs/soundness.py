#!/usr/bin/env python3
"""Adds up the soundness error of proofs of products, in exact fractions.

    soundness.py            prints the terms of docs/proofs/products.md
    soundness.py --check    fails where the whole is above 2^-100, or where the page or the
                            constants of verify/proofs say something else
"""
import math
import pathlib
import re
import sys
from fractions import Fraction

ROOT = pathlib.Path(__file__).resolve().parents[2]
P = 2 ** 61 - 1
FIELD = P ** 2
TOKENS_MAX, ROWS_MAX, COLS_MAX, PRODUCTS_MAX = 1024, 2 ** 20, 2 ** 17, 256
BLOWUP, OPENED = 8, 34
# Challenges come from 128 bits mod p, so that none is likelier than 1 / p by more than this.
BIAS = (1 + Fraction(P, 2 ** 128)) ** 2


def bits(error):
    return -(math.log2(error.numerator) - math.log2(error.denominator))


def log2(n):
    return (n - 1).bit_length()


def terms():
    """Of one group with the largest shapes: name and error."""
    yield "sums at a point of tokens and rows", BIAS * Fraction(log2(TOKENS_MAX) + log2(ROWS_MAX),
                                                                FIELD)
    yield "factors of the products of a group", BIAS * Fraction(1, FIELD)
    yield "rounds of the sum-check, of degree 2", BIAS * Fraction(2 * log2(COLS_MAX), FIELD)
    yield "combined row at the opened columns", Fraction(1, BLOWUP) ** OPENED


def constant(path, name):
    found = re.search(rf"\b{name} = ([^;]+);", (ROOT / path).read_text())
    words = found.group(1).replace("std::uint32_t", "").replace("U", "").replace("'", "")
    return eval(words.replace("{", "(").replace("}", ")"), {"__builtins__": {}})


def check(whole):
    assert bits(whole) >= 100, "less than 100 bits"
    limits = "messages/limits/proofs.hpp"
    for path, name, value in [(limits, "proof_tokens_max", TOKENS_MAX),
                              (limits, "proof_rows_max", ROWS_MAX),
                              (limits, "proof_cols_max", COLS_MAX),
                              (limits, "proof_products_max", PRODUCTS_MAX),
                              ("verify/proofs/reed_solomon.hpp", "code_blowup", BLOWUP),
                              ("verify/proofs/product_proof.hpp", "opened_columns", OPENED)]:
        assert constant(path, name) == value, f"{name} is not {value}"
    page = (ROOT / "docs/proofs/products.md").read_text()
    for line in table():
        assert line in page, f"the page does not say: {line}"


def table():
    for name, error in terms():
        yield f"| {name} | 2^-{bits(error):.1f} |"
    yield f"| **a group, together** | **2^-{bits(sum(e for _, e in terms())):.1f}** |"


def main(words):
    print("\n".join(table()))
    # A prover who may also choose the roots: a word is caught where it is further than half the
    # distance from each word of the code.
    unique = Fraction(1, 2) * (1 + Fraction(1, BLOWUP))
    print(f"with roots of the prover's own: 2^-{OPENED * bits(unique):.1f} for the columns; "
          f"{math.ceil(100 / bits(unique))} columns would give 2^-100")
    if words == ["--check"]:
        check(sum(error for _, error in terms()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
