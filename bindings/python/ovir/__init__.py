"""OVIR in Python: models in this process with the same bits everywhere, clusters, receipts, plans, ledgers.

    import ovir
    model = ovir.Model()                      # the built-in model; or ovir.Model("MODEL.gguf")
    run = model.run("Once upon a time", max_tokens=16)
    print(run.text, run.transcript)

docs/guide/python.md has the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._errors import OvirError
from ._native import profile, version as __version__
from ._files import File, Tensor
from ._model import AsyncStream, Model, Run, Stream, Token, Unit
from ._records import Ledger, Verdict, make_plan, read_receipt, verify_receipt

if TYPE_CHECKING:
    from ._cluster import AsyncEvents, Answer, Cluster

__all__ = [
    "Answer", "AsyncEvents", "AsyncStream", "Cluster", "File", "Ledger", "Model", "OvirError", "Run",
    "Stream", "Tensor", "Token", "Unit", "Verdict", "__version__", "make_plan", "profile",
    "read_receipt", "verify_receipt",
]


def __getattr__(name: str) -> object:
    # Loaded when it is used first: the standard library's HTTP client takes longer than all the rest.
    if name in ("Answer", "AsyncEvents", "Cluster"):
        from . import _cluster

        return getattr(_cluster, name)
    raise AttributeError(f"module 'ovir' has no attribute '{name}'")
