#!/usr/bin/env python3
"""Checks proofs of integer products, apart from OVIR's own code and from floating point.

    verify_products.py STATEMENT PROOF   says whether the proof holds; exit status 0 or 1
    verify_products.py --cases FOLDER    checks NAME.statement with NAME.proof for every NAME of the
                                         folder; NAME.holds beside them says that it should hold

docs/formats/proof.md has the formats, docs/proofs/products.md the protocol.
"""
import pathlib
import sys

sys.dont_write_bytecode = True

from blake3 import derive  # noqa: E402

P = 2 ** 61 - 1
BLOWUP = 8
OPENED = 34
PRODUCTS_MAX, TOKENS_MAX, ROWS_MAX, COLS_MAX, SPAN_MAX = 256, 1024, 2 ** 20, 2 ** 17, 2 ** 17
SUM_MAX = 2 ** 60 - 1
PROOF_BYTES_MAX, STATEMENT_BYTES_MAX = 64 << 20, 256 << 20
ROOT_OF_2_61 = 0x096969696969696a, 0x05a5a5a5a5a5a5a5
# GGUF's numbers of types whose sums are integers of 2^-24: elements that share a scale of inputs
TYPES = {2: 32, 3: 32, 6: 32, 7: 32, 8: 32, 20: 32,
         10: 256, 11: 256, 12: 256, 13: 256, 14: 256, 21: 256, 23: 256}


class Refused(Exception):
    """What is wrong, in a sentence."""


def need(condition, sentence):
    if not condition:
        raise Refused(sentence)


# The field of P and its extension by i: elements are pairs

def plus(a, b):
    return (a[0] + b[0]) % P, (a[1] + b[1]) % P


def minus(a, b):
    return (a[0] - b[0]) % P, (a[1] - b[1]) % P


def times(a, b):
    return (a[0] * b[0] - a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P


def power(a, exponent):
    result = (1, 0)
    while exponent:
        if exponent & 1:
            result = times(result, a)
        a, exponent = times(a, a), exponent >> 1
    return result


def root_of_unity(order):
    return power(ROOT_OF_2_61, 2 ** 61 // order)


def variables(size):
    return (size - 1).bit_length()


def equality_table(point):
    """eq(point, b) for all b; bit j of b belongs to point[j]."""
    table = [(1, 0)]
    for x in point:
        high = [times(e, x) for e in table]
        table = [minus(e, h) for e, h in zip(table, high)] + high
    return table


def weighed(elements, integers):
    """Sum of elements times integers."""
    return (sum(e[0] * n for e, n in zip(elements, integers)) % P,
            sum(e[1] * n for e, n in zip(elements, integers)) % P)


def inner_product(a, b):
    re = sum(x[0] * y[0] - x[1] * y[1] for x, y in zip(a, b))
    im = sum(x[0] * y[1] + x[1] * y[0] for x, y in zip(a, b))
    return re % P, im % P


# Bytes

def u32(n):
    return n.to_bytes(4, "little")


def u64(n):
    return n.to_bytes(8, "little")


def text(words):
    return u64(len(words)) + words.encode()


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        need(self.at + size <= len(self.data), "it ends early")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def numbers(self, count, size, signed=False):
        data = self.take(count * size)
        return [int.from_bytes(data[i:i + size], "little", signed=signed)
                for i in range(0, len(data), size)]

    def elements(self, count):
        need(self.at + 16 * count <= len(self.data), "it ends early")
        words = self.numbers(2 * count, 8)
        need(all(w < P for w in words), "a number is not below p")
        return list(zip(words[::2], words[1::2]))

    def end(self):
        need(self.at == len(self.data), "it goes on behind its end")


# The statement

class Tensor:
    def __init__(self, r):
        begin = r.at
        type_number = r.number(4)
        need(type_number in TYPES, "its type has no sums of integers")
        self.scale_block = TYPES[type_number]
        self.most = 127 * 4095 * (63 if self.scale_block == 256 else 1)
        self.rows, self.cols, self.fold = r.numbers(3, 4)
        self.row_sum_max = r.number(8)
        self.root = r.take(32)
        self.bytes = r.data[begin:r.at]
        need(1 <= self.rows <= ROWS_MAX, "its rows are too many or none")
        need(0 < self.cols <= COLS_MAX and self.cols % self.scale_block == 0, "its width is wrong")
        need(self.fold.bit_count() == 1 and self.fold <= 1 << variables(self.rows)
             and self.fold * self.cols <= SPAN_MAX, "its fold is wrong")
        need(self.row_sum_max * self.most <= SUM_MAX, "its sums may exceed the field")
        self.span = self.fold * self.cols
        self.folded_rows = (self.rows + self.fold - 1) // self.fold


class Product:
    def __init__(self, r):
        self.tensor = w = Tensor(r)
        begin = r.at
        tokens = r.number(4)
        need(1 <= tokens <= TOKENS_MAX, "its tokens are too many or none")
        self.inputs = [self.read_token(r, w) for _ in range(tokens)]
        self.input_bytes = r.data[begin:r.at]
        begin = r.at
        self.sums = [r.numbers(w.rows, 8, signed=True) for _ in range(tokens)]
        self.sum_bytes = r.data[begin:r.at]
        most = w.row_sum_max * w.most
        need(all(-most <= s <= most for row in self.sums for s in row), "a sum is beyond its bound")

    @staticmethod
    def read_token(r, w):
        """q * m * k of each element."""
        q = r.numbers(w.cols, 1, signed=True)
        k = r.numbers(w.cols // w.scale_block, 2)
        m = r.numbers(w.cols // 32, 1) if w.scale_block == 256 else [1] * (w.cols // 32)
        need(min(q) >= -127 and all(1 <= v <= 4095 for v in k) and all(1 <= v <= 63 for v in m),
             "an input is outside its range")
        return [q[c] * m[c // 32] * k[c // w.scale_block] for c in range(w.cols)]


class Statement:
    def __init__(self, data):
        need(len(data) <= STATEMENT_BYTES_MAX, "the statement is too long")
        r = Reader(data)
        need(r.take(8) == b"OVIRSTAT" and r.number(4) == 1, "these bytes are no statement")
        self.context = r.take(32)
        count = r.number(4)
        need(1 <= count <= PRODUCTS_MAX, "its products are too many or none")
        self.products = [Product(r) for _ in range(count)]
        r.end()

    def groups(self):
        """Products whose tensors have the same width and fold, in the order of their first ones."""
        groups = {}
        for p in self.products:
            groups.setdefault((p.tensor.cols, p.tensor.fold), []).append(p)
        return list(groups.values())


# The proof

class Group:
    def __init__(self, r):
        count = r.number(4)
        need(count <= 17, "its rounds are too many")
        flat = r.elements(2 * count)
        self.rounds = list(zip(flat[::2], flat[1::2]))
        count = r.number(4)
        need(count <= SPAN_MAX, "its combined row is too long")
        self.combined = r.elements(count)
        count = r.number(4)
        need(1 <= count <= PRODUCTS_MAX, "its products are too many or none")
        self.openings = [self.read_openings(r) for _ in range(count)]

    @staticmethod
    def read_openings(r):
        rows, levels = r.numbers(2, 4)
        need(rows <= ROWS_MAX and levels <= 19, "its columns are too long")
        openings = []
        for _ in range(OPENED):
            begin = r.at
            symbols = r.elements(rows)
            leaf = r.data[begin:r.at]
            openings.append((symbols, leaf, [r.take(32) for _ in range(levels)]))
        return openings


def read_proof(data):
    need(len(data) <= PROOF_BYTES_MAX, "the proof is too long")
    r = Reader(data)
    need(r.take(8) == b"OVIRPROF" and r.number(4) == 1, "these bytes are no proof")
    count = r.number(4)
    need(count <= PRODUCTS_MAX, "its groups are too many")
    groups = [Group(r) for _ in range(count)]
    r.end()
    return groups


# The challenges

class Transcript:
    def __init__(self):
        self.state = derive("ovir/proof/v1/transcript", b"")

    def absorb(self, label, data):
        self.state = derive("ovir/proof/v1/absorb",
                            self.state + text(label) + u64(len(data)) + data)

    def absorb_elements(self, label, elements):
        self.absorb(label, b"".join(u64(re) + u64(im) for re, im in elements))

    def squeeze(self, label, size):
        out = derive("ovir/proof/v1/challenge", self.state + text(label) + u64(size), 32 + size)
        self.state = out[:32]
        return out[32:]

    def challenges(self, label, count):
        data = self.squeeze(label, 32 * count)
        words = [int.from_bytes(data[i:i + 16], "little") % P for i in range(0, len(data), 16)]
        return list(zip(words[::2], words[1::2]))

    def positions(self, label, count, bound):
        data = self.squeeze(label, 8 * count)
        return [int.from_bytes(data[i:i + 8], "little") % bound for i in range(0, len(data), 8)]


def absorb_statement(script, statement):
    script.absorb("statement", statement.context + u32(len(statement.products)))
    for p in statement.products:
        script.absorb("tensor", p.tensor.bytes)
        script.absorb("inputs", p.input_bytes)
        script.absorb("sums", p.sum_bytes)


# The check

def root_of_path(leaf, index, path):
    node = derive("ovir/proof/v1/column", leaf)
    for other in path:
        pair = other + node if index & 1 else node + other
        node = derive("ovir/evidence/v1/node", pair)
        index >>= 1
    return node


def encoded_at(combined, z):
    """Both components of the combined row's word at the root of unity z."""
    first = second = (0, 0)
    for even, odd in zip(combined[-2::-2], combined[-1::-2]):
        first = plus(times(first, z), (even[0], odd[0]))
        second = plus(times(second, z), (even[1], odd[1]))
    return first, second


def check_sizes(products, proof):
    w = products[0].tensor
    levels = variables(BLOWUP << variables(w.span // 2))
    need(len(proof.rounds) == variables(w.cols) and len(proof.combined) == w.span
         and len(proof.openings) == len(products), "its sizes are not those of the statement")
    for p, openings in zip(products, proof.openings):
        for symbols, _, path in openings:
            need(len(symbols) == p.tensor.folded_rows and len(path) == levels,
                 "its columns are not those of the statement")


def follow_sum(script, rounds, claim):
    point = []
    for at_0, square in rounds:
        script.absorb_elements("round", [at_0, square])
        at = script.challenges("column", 1)[0]
        slope = minus(minus(claim, plus(at_0, at_0)), square)
        claim = plus(at_0, times(plus(slope, times(square, at)), at))
        point.insert(0, at)
    return point, claim


def check_columns(products, proof, weights, columns, root):
    for i, column in enumerate(columns):
        first = second = (0, 0)
        for p, openings, weight in zip(products, proof.openings, weights):
            symbols, leaf, path = openings[i]
            need(root_of_path(leaf, column, path) == p.tensor.root, "a column has another root")
            first = plus(first, weighed(symbols, [x[0] for x in weight]))
            second = plus(second, weighed(symbols, [x[1] for x in weight]))
        need(encoded_at(proof.combined, power(root, column)) == (first, second),
             "the combined row is not that of the committed weights")


def check_group(script, products, proof):
    check_sizes(products, proof)
    w = products[0].tensor
    tokens = script.challenges("tokens", max(variables(len(p.inputs)) for p in products))
    rows = script.challenges("rows", max(variables(p.tensor.rows) for p in products))
    factors = script.challenges("factors", len(products))
    folds = variables(w.fold)
    claim = (0, 0)
    for p, factor in zip(products, factors):
        p.of_tokens = equality_table(tokens[:variables(len(p.inputs))])
        of_rows = equality_table(rows[:variables(p.tensor.rows)])
        by_token = [weighed(of_rows, sums) for sums in p.sums]
        claim = plus(claim, times(factor, inner_product(p.of_tokens, by_token)))
    point, claim = follow_sum(script, proof.rounds, claim)
    of_columns = equality_table(point)
    weights = []
    for p, factor in zip(products, factors):
        by_token = [weighed(of_columns, inputs) for inputs in p.inputs]
        x = times(factor, inner_product(p.of_tokens, by_token))
        high = equality_table(rows[folds:variables(p.tensor.rows)])
        weights.append([times(x, e) for e in high])
    value = (0, 0)
    for fold, e in enumerate(equality_table(rows[:folds])):
        part = proof.combined[fold * w.cols:(fold + 1) * w.cols]
        value = plus(value, times(e, inner_product(part, of_columns)))
    script.absorb_elements("combined", proof.combined)
    length = BLOWUP << variables(w.span // 2)
    columns = script.positions("columns", OPENED, length)
    need(value == claim, "the sums do not follow from the combined row")
    check_columns(products, proof, weights, columns, root_of_unity(length))


def verify(statement_bytes, proof_bytes):
    """None, or what is wrong."""
    try:
        statement = Statement(statement_bytes)
        proof = read_proof(proof_bytes)
        groups = statement.groups()
        need(len(groups) == len(proof), "its groups are not those of the statement")
        script = Transcript()
        absorb_statement(script, statement)
        for products, group in zip(groups, proof):
            check_group(script, products, group)
    except Refused as reason:
        return str(reason)
    return None


def check_cases(folder):
    agreed = wrong = held = 0
    for path in sorted(folder.glob("*.statement")):
        reason = verify(path.read_bytes(), path.with_suffix(".proof").read_bytes())
        held += reason is None
        if (reason is None) == path.with_suffix(".holds").exists():
            agreed += 1
        else:
            wrong += 1
            print(f"{path.stem}: {reason or 'holds, and should not'}")
    print(f"{agreed} verdicts agree, {held} of them that a proof holds; {wrong} differ")
    return wrong == 0 and held > 0


def main(words):
    if len(words) == 2 and words[0] == "--cases":
        return 0 if check_cases(pathlib.Path(words[1])) else 1
    if len(words) != 2:
        print(__doc__)
        return 2
    reason = verify(*(pathlib.Path(word).read_bytes() for word in words))
    print(f"refused: {reason}" if reason else "holds")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
