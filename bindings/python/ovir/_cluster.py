"""A client of a cluster's HTTP endpoint, with the standard library alone (docs/formats/http.md)."""

from __future__ import annotations

import http.client
import json
import os
from typing import Any, AsyncIterator, Iterator, NamedTuple, Sequence
from urllib.parse import SplitResult, quote, urlsplit

from ._errors import OvirError

__all__ = ["Answer", "AsyncEvents", "Cluster", "Events"]

_BODY_BYTES_MAX = 64 << 20  # of an answer that is no stream
_LINE_BYTES_MAX = 4 << 20  # of an event
_RESUMES_MAX = 8  # of one stream without an event in between


class Answer(NamedTuple):
    """An answer of a cluster."""

    text: str
    finish_reason: str
    #: The client's id of it: 16 hexadecimal digits.
    request: str
    #: Digest of what was computed; `Model.run` with the same parameters has the same.
    transcript: str
    #: Tool calls of a chat, as OpenAI's; else empty.
    tool_calls: list[dict[str, Any]]
    #: The answer as the endpoint gave it, or the last event of a stream.
    raw: dict[str, Any]


def _parts_of(address: str) -> SplitResult:
    parts = urlsplit(address if "//" in address else "http://" + address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OvirError("invalid_argument", f"{address} is no address; give http://HOST:PORT")
    return parts


def _error_of(status: int, body: bytes) -> OvirError:
    try:
        said = json.loads(body)["error"]
        return OvirError(str(said.get("code") or said.get("type") or status), str(said["message"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return OvirError("malformed", f"the endpoint answered {status} without a reason")


def _document_of(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise OvirError("malformed", "the endpoint's answer is no JSON object")
    return document


def _object_in(document: Any, key: str | int) -> dict[str, Any]:
    """A member that is an object; missing and null are an empty one."""
    try:
        found = document[key]
    except (KeyError, IndexError, TypeError):
        found = None
    if found is None and isinstance(document, dict):
        return {}
    if not isinstance(found, dict):
        raise OvirError("malformed", f"the endpoint's answer has no object {key}")
    return found


class Events:
    """The texts of an answer as they come: `for text in events`. Afterwards `answer()`.

    After a lost connection it goes on, at the next of the cluster's addresses, without losing or
    repeating a text.
    """

    def __init__(self, cluster: Cluster, path: str, body: dict[str, Any]) -> None:
        self._cluster = cluster
        self._path = path
        self._body = {**body, "stream": True}
        self._request = os.urandom(8).hex()
        self._last_event = ""
        self._texts: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._reason = ""
        self._raw: dict[str, Any] = {}
        self._evidence: dict[str, Any] = {}
        self._over = False
        self._lines = self._parse()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self._lines)

    def _parse(self) -> Iterator[str]:
        failures = 0
        while not self._over:
            try:
                before = self._last_event
                for text in self._receive():
                    if text:
                        yield text
                if not self._over:
                    raise ConnectionError("the stream ended early")
            except (OSError, http.client.HTTPException) as e:
                failures = 1 if self._last_event != before else failures + 1
                if failures > _RESUMES_MAX:
                    raise OvirError("peer_lost", f"the answer broke off, and no address went on: {e}") from e
                self._cluster._use_next_address()

    def _receive(self) -> Iterator[str]:
        headers = {"X-OVIR-Request": self._request}
        if self._last_event:
            headers["Last-Event-ID"] = self._last_event
        connection, response = self._cluster._open("POST", self._path, self._body, headers)
        try:
            event = ""
            while line := response.readline(_LINE_BYTES_MAX):
                if not line.endswith(b"\n"):
                    raise ConnectionError("an event broke off")
                if line.startswith(b"id: "):
                    event = line[4:].strip().decode("ascii", "replace")
                elif line.startswith(b"data: "):
                    data = line[6:].strip()
                    if data == b"[DONE]":
                        self._over = True
                        return
                    text = self._take(_document_of(data))
                    self._last_event = event or self._last_event
                    yield text
        finally:
            connection.close()

    def _take(self, data: dict[str, Any]) -> str:
        if "error" in data:
            raise _error_of(200, json.dumps(data).encode())
        if not data.get("choices"):
            self._raw = {**self._raw, **data, "choices": self._raw.get("choices", [])}
            return ""
        choice = _object_in(data.get("choices"), 0)
        self._raw = data
        self._reason = choice.get("finish_reason") or self._reason
        self._evidence = _object_in(choice, "ovir") or self._evidence
        delta = _object_in(choice, "delta")
        for call in delta.get("tool_calls") or []:
            self._add_call(call)
        text = str(choice.get("text") or delta.get("content") or "")
        self._texts.append(text)
        return text

    def _add_call(self, part: dict[str, Any]) -> None:
        if not isinstance(part, dict):
            raise OvirError("malformed", "the endpoint's answer has a tool call that is no object")
        call = self._calls.setdefault(part.get("index", 0), {"function": {"name": "", "arguments": ""}})
        call.update({k: v for k, v in part.items() if k in ("id", "type")})
        function = part.get("function") or {}
        for key in ("name", "arguments"):
            call["function"][key] += function.get(key) or ""

    def answer(self) -> Answer:
        """The whole answer; waits for what is missing."""
        for _ in self:
            pass
        if not self._over:
            raise OvirError("peer_lost", "the answer was not told to its end")
        return Answer("".join(self._texts), self._reason,
                      str(self._evidence.get("request") or self._request),
                      str(self._evidence.get("transcript") or ""),
                      [self._calls[i] for i in sorted(self._calls)], self._raw)

    def cancel(self) -> None:
        """Cancels the request at the cluster."""
        self._cluster._ask("DELETE", f"/v1/requests/{self._request}")


class AsyncEvents:
    """The same for asyncio: `async for text in events`, then `await events.answer()`. What waits for
    the network does so on threads of the event loop's default executor."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        import asyncio

        text = await asyncio.to_thread(next, self._events, None)
        if text is None:
            raise StopAsyncIteration
        return text

    async def answer(self) -> Answer:
        import asyncio

        return await asyncio.to_thread(self._events.answer)

    async def cancel(self) -> None:
        import asyncio

        await asyncio.to_thread(self._events.cancel)


class Cluster:
    """A cluster's HTTP endpoint: `Cluster("http://HOST:PORT")`, or several addresses of one cluster.

    `key` is an API key (`ovir key create`); by default the environment's OVIR_API_KEY. `timeout` in
    seconds is for each silence of the network, not for an answer. Parameters of answers are those of
    openapi.json (docs), by keyword. Raises OvirError with the endpoint's code. Any thread may use it.
    """

    def __init__(self, *addresses: str, key: str | None = None, timeout: float = 60) -> None:
        if not addresses:
            raise OvirError("invalid_argument", "give the address of an endpoint, http://HOST:PORT")
        self._addresses = [_parts_of(one) for one in addresses]
        self._at = 0
        self._key = os.environ.get("OVIR_API_KEY", "") if key is None else key
        self._timeout = timeout

    def _use_next_address(self) -> None:
        self._at = (self._at + 1) % len(self._addresses)

    def _open(self, method: str, path: str, body: dict[str, Any] | None = None,
              headers: dict[str, str] | None = None
              ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        where = self._addresses[self._at]
        kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        connection = kind(where.hostname or "", where.port, timeout=self._timeout)
        try:
            all_headers = {**(headers or {}), "Accept": "*/*", "Connection": "close"}
            if self._key:
                all_headers["Authorization"] = f"Bearer {self._key}"
            data = None
            if body is not None:
                data = json.dumps(body).encode()
                all_headers["Content-Type"] = "application/json"
            connection.request(method, where.path.rstrip("/") + path, data, all_headers)
            response = connection.getresponse()
            if response.status != 200:
                raise _error_of(response.status, response.read(_BODY_BYTES_MAX))
            return connection, response
        except BaseException:
            connection.close()
            raise

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None,
             headers: dict[str, str] | None = None) -> bytes:
        # Each address once. The request's id makes a second try the same request to the cluster.
        for left in reversed(range(len(self._addresses))):
            try:
                connection, response = self._open(method, path, body, headers)
                try:
                    data = response.read(_BODY_BYTES_MAX + 1)
                finally:
                    connection.close()
                if len(data) > _BODY_BYTES_MAX:
                    raise OvirError("over_limit", f"the answer has more than {_BODY_BYTES_MAX} bytes")
                if response.length:
                    raise http.client.IncompleteRead(data, response.length)
                return data
            except (OSError, http.client.HTTPException) as e:
                self._use_next_address()
                if left == 0:
                    raise OvirError("peer_lost", f"no address answers: {e}") from e
        raise AssertionError

    def models(self) -> list[str]:
        """Names of the models, the first of which answers where none is named."""
        listed = _document_of(self._ask("GET", "/v1/models")).get("data")
        return [str(_object_in(listed, i).get("id")) for i in range(len(listed or []))]

    def _body(self, parameters: dict[str, Any]) -> dict[str, Any]:
        body = {k: v for k, v in parameters.items() if v is not None}
        if "model" not in body:
            names = self.models()
            if not names:
                raise OvirError("segment_missing", "the cluster has no model at the moment")
            body["model"] = names[0]
        return body

    def _answer(self, path: str, parameters: dict[str, Any]) -> Answer:
        request = os.urandom(8).hex()
        document = _document_of(self._ask("POST", path, self._body(parameters), {"X-OVIR-Request": request}))
        choice = _object_in(document.get("choices"), 0)
        message = _object_in(choice, "message")
        evidence = _object_in(choice, "ovir")
        return Answer(str(choice.get("text") or message.get("content") or ""),
                      str(choice.get("finish_reason") or ""), str(evidence.get("request") or request),
                      str(evidence.get("transcript") or ""), message.get("tool_calls") or [], document)

    @staticmethod
    def _messages(messages: str | Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)

    def complete(self, prompt: str | Sequence[int], **parameters: Any) -> Answer:
        """What follows a text or token ids."""
        prompt = prompt if isinstance(prompt, str) else list(prompt)
        return self._answer("/v1/completions", {"prompt": prompt, **parameters})

    def chat(self, messages: str | Sequence[dict[str, Any]], **parameters: Any) -> Answer:
        """The answer to a message, or to a conversation as OpenAI's messages."""
        return self._answer("/v1/chat/completions", {"messages": self._messages(messages), **parameters})

    def stream(self, prompt: str | Sequence[int], **parameters: Any) -> Events:
        """As `complete`, text by text."""
        prompt = prompt if isinstance(prompt, str) else list(prompt)
        return Events(self, "/v1/completions", self._body({"prompt": prompt, **parameters}))

    def stream_chat(self, messages: str | Sequence[dict[str, Any]], **parameters: Any) -> Events:
        """As `chat`, text by text."""
        body = self._body({"messages": self._messages(messages), **parameters})
        return Events(self, "/v1/chat/completions", body)

    def receipt(self, answer: Answer | str) -> bytes:
        """The receipt of an answer that was asked for with `receipt=True`: for `verify_receipt`."""
        return self._ask("GET", f"/v1/receipts/{self._id(answer)}")

    def verdict(self, answer: Answer | str) -> dict[str, Any]:
        """What the endpoint's node finds about an answer: docs/formats/http.md, "Verdict"."""
        return _document_of(self._ask("GET", f"/v1/receipts/{self._id(answer)}/verdict"))

    @staticmethod
    def _id(answer: Answer | str) -> str:
        return quote(answer if isinstance(answer, str) else answer.request, safe="")

    async def acomplete(self, prompt: str | Sequence[int], **parameters: Any) -> Answer:
        """As `complete`, on a thread."""
        import asyncio

        return await asyncio.to_thread(self.complete, prompt, **parameters)

    async def achat(self, messages: str | Sequence[dict[str, Any]], **parameters: Any) -> Answer:
        """As `chat`, on a thread."""
        import asyncio

        return await asyncio.to_thread(self.chat, messages, **parameters)

    async def astream(self, prompt: str | Sequence[int], **parameters: Any) -> AsyncEvents:
        """As `stream`: `async for text in await cluster.astream(...)`."""
        import asyncio

        return AsyncEvents(await asyncio.to_thread(self.stream, prompt, **parameters))

    async def astream_chat(self, messages: str | Sequence[dict[str, Any]], **parameters: Any) -> AsyncEvents:
        """As `stream_chat`."""
        import asyncio

        return AsyncEvents(await asyncio.to_thread(self.stream_chat, messages, **parameters))
