#!/usr/bin/env python3
"""Checks the integers of proofs of units, apart from OVIR's own code and from floating point.

    verify_units.py RECEIPT ROOTS PROOF   says whether they hold; exit status 0 or 1
    verify_units.py --cases FOLDER ROOTS  checks NAME.proof with NAME.receipt for every NAME of the
                                          folder; NAME.holds beside them says that it should hold

What holds: the proof is bound to these bytes of a receipt and these roots; its products are those of
its layers, in their order, by the matrices of the roots; every sum is the product of its inputs.
The signatures of the receipt, its digests, and the steps between products are floating point and
`ovir-verify --proof` alone: docs/proofs/units.md. Formats: docs/formats/roots.md, unit-proof.md.
"""
import pathlib
import re
import sys

sys.dont_write_bytecode = True

from blake3 import IV, derive, output, root_node  # noqa: E402
from verify_products import (Reader, Refused, Statement, TOKENS_MAX, TYPES, Transcript,  # noqa: E402
                             absorb_statement, check_group, need, read_proof, u32, variables)

WINDOW = 32
ROOTS_BYTES_MAX, UNIT_BYTES_MAX = 256 << 20, 512 << 20
PIECES_MAX, DIM_MAX, PATH_MAX, WINDOWS_MAX = 256, 32768, 32, 32768
CHUNK = 1 << 20
SPAN_WANTED = 1 << 15
REVEALED, COMPUTED, EMBEDDINGS = range(3)
ORDER = ("attn_k", "attn_v", "attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
VECTORS = re.compile(r"(output_norm|rope_freqs|blk\.[0-9]+\.(attn_norm|ffn_norm))\.weight")
MATRICES = re.compile(r"(output|blk\.[0-9]+\.(" + "|".join(ORDER) + r"))\.weight")


def plain(data):
    """BLAKE3 without a domain."""
    return output(root_node(IV, data, 0), 32)


# The roots

class Manifest:
    """Names and shapes of a model's tensors, and the digests of their bytes."""

    def __init__(self, data):
        self.name = plain(data)
        r = Reader(data)
        need(r.take(4) == b"OVM1", "these bytes are no manifest")
        r.take(r.number(4))
        r.take(32 + 8)
        self.tensors = {}
        last = b""
        for _ in range(r.number(4)):
            name = r.take(r.number(2))
            need(name > last, "the manifest's tensors are out of order")
            last = name
            type_number, dims = r.numbers(2, 4)
            need(1 <= dims <= 4, "a tensor's dimensions are wrong")
            shape = r.numbers(dims, 8)
            size = r.number(8)
            chunks = [r.take(32) for _ in range((size + CHUNK - 1) // CHUNK)]
            self.tensors[name.decode()] = (type_number, shape, size, chunks)
        r.end()


def fold_for(rows, cols):
    most = 1 << (max(1, SPAN_WANTED // max(1, cols)).bit_length() - 1)
    return min(most, 1 << variables(max(1, rows)))


class Roots:
    def __init__(self, data):
        need(len(data) <= ROOTS_BYTES_MAX, "the roots are too long")
        self.digest = plain(data)
        r = Reader(data)
        need(r.take(8) == b"OVIRROOT" and r.number(4) == 1, "these bytes are no roots")
        self.manifest = Manifest(r.take(r.number(4)))
        tensors = self.manifest.tensors
        self.embedding = r.take(32)
        tied = "output.weight" not in tensors
        self.head = "token_embd.weight" if tied else "output.weight"
        self.matrices = {}  # bytes of the tensor as a statement has them, and its type
        for name, (type_number, shape, size, chunks) in tensors.items():
            if MATRICES.fullmatch(name) or (name == "token_embd.weight" and tied):
                need(len(shape) == 2 and type_number in TYPES, "a matrix cannot be proven")
                cols, rows = shape
                commitment = u32(type_number) + u32(rows) + u32(cols) + u32(fold_for(rows, cols))
                self.matrices[name] = commitment + r.take(40), type_number
            elif VECTORS.fullmatch(name):
                need(len(shape) == 1 and type_number == 0 and 0 < size <= CHUNK
                     and size == 4 * shape[0], "a vector is out of form")
                need(plain(r.take(size)) == chunks[0], "a vector is not the manifest's")
            else:
                need(name == "token_embd.weight", "the model's blocks are not plain llama's")
        r.end()
        self.dim = tensors["token_embd.weight"][1][0]
        self.layers = 1 + max(int(name.split(".")[1]) for name in tensors
                              if name.startswith("blk."))


# The proof of units

class Piece:
    def __init__(self, r):
        self.layer, self.first, self.last, self.positions, self.source = r.numbers(5, 4)
        most = self.last * WINDOW
        need(self.first < self.last <= WINDOWS_MAX
             and most - WINDOW < self.positions <= most, "a piece's windows are wrong")
        need(self.source <= EMBEDDINGS and (self.source == EMBEDDINGS) == (self.layer == 0),
             "a piece's source is wrong")
        count = self.last - self.first
        self.inputs = r.take(32 * (0 if self.layer == 0 else self.last))
        self.outputs = r.take(32 * count)
        self.kv = r.take(32 * count)

    def read_rows(self, r, dim):
        if self.source == COMPUTED:
            return
        r.take(4 * self.positions * dim)
        for _ in range(self.positions if self.source == EMBEDDINGS else 0):
            levels = r.number(4)
            need(levels <= PATH_MAX, "a path is too long")
            r.take(32 * levels)


class UnitProof:
    def __init__(self, data):
        need(len(data) <= UNIT_BYTES_MAX, "the proof is too long")
        r = Reader(data)
        need(r.take(8) == b"OVIRUNIT" and r.number(4) == 1, "these bytes are no proof of units")
        begin = r.at
        self.receipt, self.roots = r.take(32), r.take(32)
        self.dim, count = r.numbers(2, 4)
        need(1 <= self.dim <= DIM_MAX and 1 <= count <= PIECES_MAX, "its pieces are too many")
        self.pieces = [Piece(r) for _ in range(count)]
        self.context = derive("ovir/proof/v1/units", data[begin:r.at])
        for piece in self.pieces:
            piece.read_rows(r, self.dim)
        self.statement = r.take(r.number(4))
        self.proof = r.take(r.number(4))
        r.end()


class Order:
    """Goes through the products in the order of the layers' computation."""

    def __init__(self, products, roots):
        self.products, self.roots, self.next = products, roots, 0

    def is_next(self, name):
        return (self.next < len(self.products)
                and self.products[self.next].tensor.bytes == self.roots.matrices[name][0])

    def take(self, name, tokens):
        while tokens > 0:
            count = min(TOKENS_MAX, tokens)
            need(self.is_next(name) and len(self.products[self.next].inputs) == count,
                 f"product {self.next} is not of {name} with {count} tokens")
            self.next += 1
            tokens -= count

    def take_head(self, most):
        tokens, count = 0, TOKENS_MAX
        while self.is_next(self.roots.head) and tokens < most and count == TOKENS_MAX:
            count = len(self.products[self.next].inputs)
            tokens += count
            self.next += 1
        need(0 < tokens <= most, "the head's products are of too many or no tokens")

    def take_piece(self, piece):
        need(piece.layer < self.roots.layers, "the model has no such layer")
        window = piece.positions - piece.first * WINDOW
        last = piece.layer + 1 == self.roots.layers
        for part in ORDER:
            name = f"blk.{piece.layer}.{part}.weight"
            if last and part == "attn_q" and not self.is_next(name):
                return  # no token was drawn: it ends with K and V
            by_256 = TYPES[self.roots.matrices[name][1]] == 256
            terms = 2 if part == "attn_k" or (part == "attn_v" and by_256) else 1
            positions = piece.positions if part in ("attn_k", "attn_v") else window
            self.take(name, terms * positions)
        if last:
            self.take_head(window)


def verify(receipt, roots, data):
    """None, or what is wrong. `roots` are `Roots`."""
    try:
        proof = UnitProof(data)
        need(proof.receipt == plain(receipt), "the proof is about another receipt")
        need(proof.roots == roots.digest and proof.dim == roots.dim,
             "the proof was made for other roots")
        statement = Statement(proof.statement)
        need(statement.context == proof.context, "the products are bound to something else")
        order = Order(statement.products, roots)
        for piece in proof.pieces:
            order.take_piece(piece)
        need(order.next == len(statement.products), "the proof has more products than its units")
        groups = statement.groups()
        proven = read_proof(proof.proof)
        need(len(groups) == len(proven), "its groups are not those of the statement")
        script = Transcript()
        absorb_statement(script, statement)
        for products, group in zip(groups, proven):
            check_group(script, products, group)
    except Refused as reason:
        return str(reason)
    return None


def check_cases(folder, roots):
    agreed = wrong = held = 0
    for path in sorted(folder.glob("*.proof")):
        reason = verify(path.with_suffix(".receipt").read_bytes(), roots, path.read_bytes())
        held += reason is None
        if (reason is None) == path.with_suffix(".holds").exists():
            agreed += 1
        else:
            wrong += 1
            print(f"{path.stem}: {reason or 'holds, and should not'}")
    print(f"{agreed} verdicts agree, {held} of them that a proof holds; {wrong} differ")
    return wrong == 0 and held > 0


def main(words):
    if len(words) != 3:
        print(__doc__)
        return 2
    if words[0] == "--cases":
        roots = Roots(pathlib.Path(words[2]).read_bytes())
        return 0 if check_cases(pathlib.Path(words[1]), roots) else 1
    receipt, roots, proof = (pathlib.Path(word).read_bytes() for word in words)
    reason = verify(receipt, Roots(roots), proof)
    print(f"refused: {reason}" if reason else "holds")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
