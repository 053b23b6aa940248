"""The client of a cluster, against `ovir serve` and against endpoints that break or lie."""

import asyncio
import http.server
import json
import re
import subprocess
import threading
import unittest

import ovir
from support import PROGRAM, FolderTest


class Served(FolderTest):
    def setUp(self):
        super().setUp()
        self.server = subprocess.Popen([str(PROGRAM), "serve", "--http", "127.0.0.1:0", "-t", "1"],
                                       env=self.environment, stderr=subprocess.PIPE,
                                       stdout=subprocess.DEVNULL, text=True)
        self.addCleanup(self.stop)
        for line in self.server.stderr:
            if found := re.search(r"answers HTTP on (127\.0\.0\.1:\d+)", line):
                break
        self.cluster = ovir.Cluster("http://" + found[1])

    def stop(self):
        self.server.kill()
        self.server.communicate()

    def test_answers_with_the_bits_of_this_process(self):
        model = ovir.Model(threads=1)
        here = model.run("Once upon a time", max_tokens=24)
        there = self.cluster.complete("Once upon a time", max_tokens=24, temperature=0, receipt=True)
        self.assertEqual((there.text, there.transcript), (here.text, here.transcript))
        self.assertEqual(there.finish_reason, "length")
        verdict = ovir.verify_receipt(self.cluster.receipt(there), any_signer=True)
        self.assertTrue(verdict.ok, verdict.failures)
        self.assertEqual(verdict.receipt["transcript"], here.transcript)
        self.assertIn("verdict", self.cluster.verdict(there))

        messages = [{"role": "user", "content": "Tell me a story."}]
        chat = self.cluster.chat("Tell me a story.", max_tokens=16, temperature=0)
        self.assertEqual(chat.transcript, model.run(model.chat_prompt(messages), max_tokens=16).transcript)

    def test_streams_what_it_answers(self):
        whole = self.cluster.complete("Once upon a time", max_tokens=24, temperature=0)
        events = self.cluster.stream("Once upon a time", max_tokens=24, temperature=0)
        texts = list(events)
        self.assertGreater(len(texts), 5)
        self.assertEqual("".join(texts), whole.text)
        self.assertEqual(events.answer().transcript, whole.transcript)
        self.assertEqual(events.answer().finish_reason, "length")

        async def ask():
            events = await self.cluster.astream("Once upon a time", max_tokens=24, temperature=0)
            texts = [text async for text in events]
            chats = [self.cluster.achat("Hello", max_tokens=4, temperature=0) for _ in range(3)]
            return "".join(texts), await events.answer(), await asyncio.gather(*chats)

        text, answer, chats = asyncio.run(ask())
        self.assertEqual((text, answer.transcript), (whole.text, whole.transcript))
        self.assertEqual(len({chat.transcript for chat in chats}), 1)

    def test_refuses_with_a_code(self):
        for parameters in ({"temperature": -1}, {"no_such_parameter": 1}, {"model": "none"}):
            with self.assertRaises(ovir.OvirError) as refused:
                self.cluster.complete("a", **parameters)
            self.assertGreater(len(refused.exception.message), 10)
        with self.assertRaises(ovir.OvirError):
            self.cluster.receipt("0123456789abcdef")
        self.assertEqual(len(self.cluster.models()), 1)


class Script(http.server.BaseHTTPRequestHandler):
    """Answers each request with the next of the server's pieces, and ends the connection."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(dict(self.headers))
        status, pieces = self.server.answers.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(pieces)

    def log_message(self, *_):
        pass


def event(number: int, **data) -> bytes:
    return f"id: 00f3a1c2d4e5b697:{number}\ndata: {json.dumps(data)}\n\n".encode()


def text_event(number: int, text: str, end=None) -> bytes:
    return event(number, choices=[{"text": text, "finish_reason": end}])


class Broken(unittest.TestCase):
    def serve(self, *answers):
        server = http.server.HTTPServer(("127.0.0.1", 0), Script)
        server.answers, server.seen = list(answers), []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server, f"http://127.0.0.1:{server.server_port}"

    def test_streams_go_on_at_another_address_behind_the_last_event(self):
        first, at_first = self.serve((200, text_event(1, "On") + text_event(2, "ce") + b'id: 3\ndata: {"cho'))
        second, at_second = self.serve((200, text_event(3, " upon", "stop") + b"data: [DONE]\n\n"))
        events = ovir.Cluster(at_first, at_second).stream("a", model="m")
        self.assertEqual(list(events), ["On", "ce", " upon"])
        self.assertEqual(events.answer().text, "Once upon")
        self.assertEqual(second.seen[0]["Last-Event-ID"], "00f3a1c2d4e5b697:2")
        self.assertEqual(second.seen[0]["X-OVIR-Request"], first.seen[0]["X-OVIR-Request"])
        self.assertNotIn("Last-Event-ID", first.seen[0])

    def test_streams_end_where_nothing_goes_on(self):
        server, at = self.serve(*[(200, b"")] * 20)
        with self.assertRaises(ovir.OvirError) as lost:
            list(ovir.Cluster(at).stream("a", model="m"))
        self.assertEqual(lost.exception.code, "peer_lost")
        self.assertLess(len(server.seen), 20)
        server.answers[:] = [(200, text_event(1, "On") + event(2, error={"code": "busy", "message": "later"}))]
        events = ovir.Cluster(at).stream("a", model="m")
        with self.assertRaises(ovir.OvirError):
            list(events)
        with self.assertRaises(ovir.OvirError):
            events.answer()

    def test_lies_of_an_endpoint_are_errors(self):
        for status, body, code in ((200, b"{}", "malformed"), (200, b'{"choices": []}', "malformed"),
                                   (500, b"<html>", "malformed"), (429, b'{"error": 1}', "malformed"),
                                   (200, b"no JSON", "malformed"), (200, b"\xff\xfe", "malformed"),
                                   (400, b'{"error": {"code": "busy", "message": "later"}}', "busy")):
            _, at = self.serve((status, body))
            with self.assertRaises(ovir.OvirError, msg=body) as refused:
                ovir.Cluster(at).complete("a", model="m")
            self.assertEqual(refused.exception.code, code, body)
        for data in (b"data: no JSON\n\n", b'data: {"choices": [5]}\n\n', b"data: []\n\n",
                     b'data: {"choices": [{"delta": 5}]}\n\n'):
            _, at = self.serve((200, data))
            with self.assertRaises(ovir.OvirError, msg=data) as refused:
                list(ovir.Cluster(at).stream("a", model="m"))
            self.assertEqual(refused.exception.code, "malformed", data)
        failed = event(1, error={"code": "nonfinite", "message": "a layer"})
        _, at = self.serve((200, text_event(1, "On") + failed))
        with self.assertRaises(ovir.OvirError) as refused:
            list(ovir.Cluster(at).stream("a", model="m"))
        self.assertEqual(refused.exception.code, "nonfinite")

    def test_addresses_are_checked(self):
        for address in ("ftp://a", "http://", ""):
            with self.assertRaises(ovir.OvirError):
                ovir.Cluster(address)
        with self.assertRaises(ovir.OvirError):
            ovir.Cluster()
        with self.assertRaises(ovir.OvirError) as lost:
            ovir.Cluster("http://127.0.0.1:0", timeout=5).models()
        self.assertEqual(lost.exception.code, "peer_lost")
