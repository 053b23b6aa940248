"""Receipts, plans and ledgers: read and checked here, changed by the commands of `ovir`."""

from __future__ import annotations

import os
from typing import Any, NamedTuple, Sequence

from . import _native
from ._errors import OvirError

__all__ = ["Ledger", "Verdict", "make_plan", "read_receipt", "verify_receipt"]


class Verdict(NamedTuple):
    """What a check of a receipt found."""

    #: Nothing is wrong.
    ok: bool
    #: What is wrong: dictionaries with "what", "signer" (a key, or None) and "unit".
    failures: list[dict[str, Any]]
    #: The receipt as a dictionary, as `read_receipt` gives it.
    receipt: dict[str, Any]

    def __bool__(self) -> bool:
        return self.ok


def _bytes_of(receipt: bytes | str | os.PathLike[str]) -> bytes:
    if isinstance(receipt, (bytes, bytearray, memoryview)):
        return bytes(receipt)
    try:
        with open(receipt, "rb") as file:
            return file.read()
    except OSError as e:
        code = "not_found" if isinstance(e, FileNotFoundError) else "io_failed"
        raise OvirError(code, f"{os.fspath(receipt)}: {e.strerror}") from e


def verify_receipt(receipt: bytes | str | os.PathLike[str], *, signers: Sequence[str] | None = None,
                   any_signer: bool = False, ledger_head: str | os.PathLike[str] | None = None,
                   ledger_log: str | os.PathLike[str] | None = None) -> Verdict:
    """Checks a receipt against itself, without the model, as `ovir receipt verify` does: form, all
    signatures, the chain from stage to stage, coverage and transcript.

    `receipt` is its bytes, or the path of its file. Exactly as there, no signature counts unless you
    say whose do: `signers` (keys of 64 hexadecimal digits), `ledger_head` (a file with a signed head;
    `ledger_log` names its log), or `any_signer`. Raises OvirError "malformed" for what is no receipt.
    """
    if signers is not None and (any_signer or ledger_head is not None):
        raise OvirError("invalid_argument",
                        "signers, ledger_head and any_signer contradict each other; give one of them")
    import json

    found = json.loads(_native.verify_receipt(
        _bytes_of(receipt), None if signers is None else list(signers), any_signer,
        "" if ledger_head is None else os.fspath(ledger_head),
        "" if ledger_log is None else os.fspath(ledger_log)))
    return Verdict(found["ok"], found["failures"], found["receipt"])


def read_receipt(receipt: bytes | str | os.PathLike[str]) -> dict[str, Any]:
    """What a receipt states, as `ovir receipt show --json`. Nothing of it is checked."""
    import json

    return json.loads(_native.read_receipt(_bytes_of(receipt)))


def make_plan(cluster: str | os.PathLike[str], model: str | os.PathLike[str] | None = None, *,
              context: int = 0, requests: int = 1, prefill_chunk: int = 64,
              batch: bool = False) -> dict[str, Any]:
    """Cuts a model for the machines that a file describes, as `ovir plan`. Nothing is started.

    `cluster` is a path of a file as config/cluster.toml. `context`: positions promised to each
    request; 0 is the model's. The answer has "stages", "speed", "alone", "alone_node", "gap", "why".
    """
    path = os.fspath(cluster)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as e:
        code = "not_found" if isinstance(e, FileNotFoundError) else "io_failed"
        raise OvirError(code, f"{path}: {e.strerror}") from e
    return _native.make_plan(path, text, None if model is None else os.fspath(model), context,
                             requests, prefill_chunk, batch)


class Ledger:
    """A ledger's log, read from its file. Nothing is written and no lock is taken, so a keeper may
    have it open. Amounts are micro-credits."""

    __slots__ = ("_path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """`path`: the log, or the folder that has it."""
        name = os.fspath(path)
        self._path = os.path.join(name, "log") if os.path.isdir(name) else name

    def summary(self, *, signatures: bool = True) -> dict[str, Any]:
        """Reads the log from its first byte to its last and checks form, chain, rules and, unless
        told otherwise, signatures. "ledger" (its name), "size", "root", "time", "keepers",
        "accounts", "minted", "assurance", "treasury", "burnt". A log that breaks a rule raises
        OvirError "digest_mismatch" with the entry."""
        return _native.ledger_summary(self._path, signatures)

    def balances(self) -> dict[str, dict[str, Any]]:
        """By public key: "free", "pending", "stake", "earned", "nonce", "ejected"."""
        return self.summary(signatures=False)["accounts"]

    def entries(self, first: int = 0, count: int = 1000) -> list[dict[str, Any]]:
        """Entries [first, first + count): "index", "time" (seconds since 1970), "kind", "id" and
        "movements", each with "kind", "from", "to" (a "purse" "of" a key) and "amount"."""
        return _native.ledger_entries(self._path, first, count)
