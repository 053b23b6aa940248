"""Models in this process: tokens, runs, streams, and what a run computed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, AsyncIterator, Iterator, NamedTuple, Sequence

from . import _native
from ._errors import OvirError
from ._files import File, array_over

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["AsyncStream", "Model", "Run", "Stream", "Token", "Unit"]

_SEED_BITS = 53  # what every reader of JSON can repeat


class Token(NamedTuple):
    """A token of an answer, as it was drawn."""

    #: In the vocabulary. None where text was held back until the run was cancelled.
    id: int | None
    #: What became complete with it: whole characters, often nothing. All texts joined are `Run.text`.
    text: str


class Unit(NamedTuple):
    """A leaf of the transcript: the digest of what one layer put out over one window."""

    window: int
    layer: int
    positions: int
    digest: str


class Run:
    """A run that is over.

    Arrays are read-only views of what the run kept, without a copy. They keep it alive.
    """

    __slots__ = ("_native", "seed")

    def __init__(self, native: _native.Generation, seed: int) -> None:
        self._native = native
        #: Of the draws; another run with it is equal.
        self.seed = seed

    @property
    def text(self) -> str:
        return self._native.text

    @property
    def tokens(self) -> list[int]:
        """All that were drawn, the ending one included."""
        return self._native.tokens

    @property
    def prompt_tokens(self) -> list[int]:
        return self._native.prompt

    @property
    def finish_reason(self) -> str:
        """ "stop", "length" or "cancelled"."""
        return self._native.finish_reason

    @property
    def transcript(self) -> str:
        """Digest of all that was computed, 64 hexadecimal digits: that of `ovir run` with the same
        parameters, wherever it runs."""
        return self._native.transcript

    @property
    def positions(self) -> int:
        """Positions computed: all but the last token drawn."""
        return self._native.positions

    def stages(self) -> list[tuple[int, int]]:
        """Layers [first, last) of each stage."""
        return self._native.stages()

    def units(self) -> list[Unit]:
        """Leaves of the transcript, by window and layer. The last layer has none."""
        return [Unit(*one) for one in self._native.units()]

    def logits(self) -> npt.NDArray[np.float32]:
        """[tokens drawn][vocabulary], with `keep_logits`; without it there are no rows.

        Row i is what token i was drawn from: raw, before temperature and penalty.
        """
        return array_over(self._native.logits())

    def boundary(self, edge: int) -> npt.NDArray[np.float32]:
        """[positions][dim]: what stage `edge` handed to the next one, with `keep_boundaries`."""
        return array_over(self._native.boundary(edge))

    def keys(self, layer: int) -> npt.NDArray[np.float16]:
        """[kv_heads][positions][head_dim]: the keys of a layer, rotated, as attention reads them.

        Heads do not lie one behind the other; each is contiguous.
        """
        return array_over(self._native.kept(layer, False))

    def values(self, layer: int) -> npt.NDArray[np.float16]:
        """[kv_heads][positions][head_dim]: likewise the values."""
        return array_over(self._native.kept(layer, True))

    def __repr__(self) -> str:
        return f"<ovir.Run {len(self.tokens)} tokens, {self.finish_reason}>"


class Stream:
    """A run, token by token: `for token in stream`. One thread takes the tokens; any may cancel."""

    __slots__ = ("_native", "_seed")

    def __init__(self, native: _native.Generation, seed: int) -> None:
        self._native = native
        self._seed = seed

    def __iter__(self) -> Iterator[Token]:
        return self

    def __next__(self) -> Token:
        token = self._next()
        if token is None:
            raise StopIteration
        return token

    def _next(self) -> Token | None:
        # A step is a chunk of the prompt or a token. Between steps Python handles signals, so that
        # Ctrl-C ends a run as it ends other Python code.
        while (step := self._native.step()) is not None:
            if step[0] is not None or step[1]:
                return Token(*step)
        return None

    def cancel(self) -> None:
        """Ends the run at its next step with what there is; finish_reason is "cancelled"."""
        self._native.cancel()

    def result(self) -> Run:
        """The run, once it is over: computes what is missing."""
        while self._next() is not None:
            pass
        return Run(self._native, self._seed)


class AsyncStream:
    """The same for asyncio: `async for token in stream`. Steps run on a thread of the event loop's
    default executor, so that the loop goes on. Leaving a loop early does not cancel; `cancel` does,
    and so does cancelling the task that waits for a token."""

    __slots__ = ("_arguments", "_model", "_stream")

    def __init__(self, model: Model, arguments: dict[str, Any]) -> None:
        self._model = model
        self._arguments = arguments
        self._stream: Stream | None = None

    def __aiter__(self) -> AsyncIterator[Token]:
        return self

    async def _opened(self) -> Stream:
        import asyncio

        if self._stream is None:
            self._stream = await asyncio.to_thread(self._model.stream, **self._arguments)
        return self._stream

    async def __anext__(self) -> Token:
        import asyncio

        stream = await self._opened()
        try:
            token = await asyncio.to_thread(stream._next)
        except asyncio.CancelledError:
            stream.cancel()
            raise
        if token is None:
            raise StopAsyncIteration
        return token

    def cancel(self) -> None:
        """As `Stream.cancel`."""
        if self._stream is not None:
            self._stream.cancel()

    async def result(self) -> Run:
        """As `Stream.result`."""
        import asyncio

        stream = await self._opened()
        try:
            return await asyncio.to_thread(stream.result)
        except asyncio.CancelledError:
            stream.cancel()
            raise


class Model:
    """A model with its tokenizer, in this process. Any thread may use it; runs do not disturb each
    other, and each computes on `threads` threads of its own while other Python threads go on.

    `path` is a GGUF file, of a split model the first one; None is the built-in model. `threads`
    defaults to the processors. `isa` names the kernels: "reference", "avx2", "avx512"; by default
    the environment's OVIR_ISA, else the best of this machine. Neither changes a bit.
    """

    __slots__ = ("_native",)

    def __init__(self, path: str | os.PathLike[str] | None = None, *, threads: int | None = None,
                 isa: str | None = None) -> None:
        if threads is None:
            threads = min(os.cpu_count() or 1, 256)
        if isa is None:
            isa = os.environ.get("OVIR_ISA", "")
        self._native = _native.Model(None if path is None else os.fspath(path), threads, isa)

    @property
    def path(self) -> str:
        return self._native.path

    @property
    def isa(self) -> str:
        return self._native.isa

    @property
    def threads(self) -> int:
        return self._native.threads

    @property
    def config(self) -> dict[str, Any]:
        """architecture, name, layers, dim, heads, kv_heads, head_dim, vocabulary, context."""
        return self._native.config

    @property
    def file(self) -> File:
        """Its file, with metadata and tensors."""
        return File._over(self._native.file)

    def encode(self, text: str, *, add_bos: bool = True, parse_special: bool = False) -> list[int]:
        """Token ids. `add_bos` puts the first token where the model asks for it; `parse_special`
        reads names of control tokens as these."""
        return self._native.encode(text, add_bos, parse_special)

    def decode(self, tokens: Sequence[int], *, special: bool = False) -> str:
        """Text of tokens; what is not UTF-8 becomes U+FFFD. `special` shows control tokens."""
        return self._native.decode(tokens, special).decode("utf-8", "replace")

    def piece(self, token: int) -> bytes:
        """Bytes of one token."""
        return self._native.piece(token)

    def chat_prompt(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Tokens of a conversation by the model's chat template, and of the beginning of an answer:
        a prompt for `run`. A message has "role" and "content"."""
        return self._native.chat([(one["role"], one["content"]) for one in messages])

    def stream(self, prompt: str | Sequence[int], *, max_tokens: int = 128, temperature: float = 0,
               top_k: int = 0, top_p: float = 1, min_p: float = 0, repeat_penalty: float = 1,
               presence_penalty: float = 0, frequency_penalty: float = 0, min_tokens: int = 0,
               seed: int | None = None, stop: Sequence[str] = (), stages: int = 1,
               prefill_chunk: int = 64, keep_logits: bool = False,
               keep_boundaries: bool = False) -> Stream:
        """Begins a run; nothing but the check of the weights is computed yet.

        `prompt` is text or token ids. Parameters, ranges and defaults are those of `ovir run`, so the
        transcript is the same. Without `seed`, a run with a temperature draws one. `stages` cuts the
        model, which changes no bit; with `keep_boundaries` what passes each cut is kept, with
        `keep_logits` what each token was drawn from. Raises OvirError.
        """
        tokens = self.encode(prompt) if isinstance(prompt, str) else list(prompt)
        if isinstance(prompt, str) and not prompt:
            raise OvirError("invalid_argument", "the prompt is empty; give at least one character")
        if seed is None:
            seed = int.from_bytes(os.urandom(8), "little") >> (64 - _SEED_BITS) if temperature else 0
        sampling = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p,
                    "repeat_penalty": repeat_penalty, "presence_penalty": presence_penalty,
                    "frequency_penalty": frequency_penalty, "min_tokens": min_tokens, "seed": seed}
        how = {"stages": stages, "prefill_chunk": prefill_chunk, "keep_logits": keep_logits,
               "keep_boundaries": keep_boundaries}
        if isinstance(stop, str):
            stop = (stop,)
        return Stream(self._native.start(tokens, max_tokens, sampling, list(stop), how), seed)

    def run(self, prompt: str | Sequence[int], **parameters: Any) -> Run:
        """A whole run; parameters as of `stream`. Ctrl-C raises KeyboardInterrupt within a step."""
        return self.stream(prompt, **parameters).result()

    def astream(self, prompt: str | Sequence[int], **parameters: Any) -> AsyncStream:
        """As `stream`, for asyncio."""
        return AsyncStream(self, {"prompt": prompt, **parameters})

    async def arun(self, prompt: str | Sequence[int], **parameters: Any) -> Run:
        """As `run`, for asyncio."""
        return await self.astream(prompt, **parameters).result()

    def __repr__(self) -> str:
        return f"<ovir.Model {self.path}>"
