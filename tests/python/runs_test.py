"""Runs in process: the bits of `ovir run`, streams, threads, asyncio, errors, and the import."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import unittest

import ovir
from support import BUILD, SOURCE, TALES, FolderTest


class AgainstTheProgram(FolderTest):
    def compare(self, arguments, parameters, model=None, prompt="Once upon a time"):
        options = [] if model is None else ["-m", model]
        said = self.ovir_json("run", *options, "-p", prompt, "--no-cache", *arguments)
        run = ovir.Model(model, threads=2).run(prompt, **parameters)
        self.assertEqual(run.transcript, said["transcript"], parameters)
        self.assertEqual(run.tokens, said["tokens"])
        self.assertEqual(run.text, said["text"])
        self.assertEqual(run.finish_reason, said["finish_reason"])
        self.assertEqual(run.prompt_tokens, said["prompt_tokens"])
        return run

    def test_a_run_has_the_transcript_of_ovir_run(self):
        self.compare(["-n", 40], {"max_tokens": 40})
        self.compare(["-n", 40, "-t", 1, "--stages", 2], {"max_tokens": 40, "stages": 3})
        self.compare(["-n", 24], {"max_tokens": 24}, model=TALES)

    def test_so_has_one_that_draws(self):
        draws = ["--temp", 0.8, "--top-k", 20, "--top-p", 0.9, "--min-p", 0.02,
                 "--repeat-penalty", 1.2, "--seed", 7]
        parameters = {"temperature": 0.8, "top_k": 20, "top_p": 0.9, "min_p": 0.02,
                      "repeat_penalty": 1.2, "seed": 7}
        run = self.compare(["-n", 30, *draws], {"max_tokens": 30, **parameters})
        self.assertEqual(run.seed, 7)

    def test_so_has_one_that_stops_and_one_of_a_long_prompt(self):
        stopped = self.compare(["-n", 60, "--stop", "the", "--stop", "dark"],
                               {"max_tokens": 60, "stop": ["the", "dark"]})
        self.assertEqual(stopped.finish_reason, "stop")
        self.assertNotIn("the", stopped.text)
        self.compare(["-n", 4, "--prefill-chunk", 7], {"max_tokens": 4, "prefill_chunk": 33},
                     prompt="The fox went into the dark wood. " * 9)

    def test_a_chat_is_written_down_alike(self):
        said = self.ovir_json("run", "--chat", "-p", "Tell me a story.", "-n", 12, "--no-cache")
        model = ovir.Model()
        prompt = model.chat_prompt([{"role": "user", "content": "Tell me a story."}])
        self.assertEqual(prompt, said["prompt_tokens"])
        self.assertEqual(model.run(prompt, max_tokens=12).transcript, said["transcript"])

    def test_kernels_and_cuts_change_no_bit(self):
        one = ovir.Model(isa="reference", threads=1).run("A small bird", max_tokens=6)
        two = ovir.Model(threads=2).run("A small bird", max_tokens=6, stages=2)
        self.assertEqual(one.transcript, two.transcript)
        self.assertEqual(one.units(), two.units())
        self.assertNotEqual(one.stages(), two.stages())


class Streams(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = ovir.Model(threads=1)
        cls.whole = cls.model.run("Once upon a time", max_tokens=30)

    def test_tell_every_token_and_all_of_the_text(self):
        stream = self.model.stream("Once upon a time", max_tokens=30)
        tokens = list(stream)
        self.assertEqual([one.id for one in tokens], self.whole.tokens)
        self.assertEqual("".join(one.text for one in tokens), self.whole.text)
        self.assertEqual(stream.result().transcript, self.whole.transcript)
        self.assertEqual(list(stream), [])

    def test_end_where_they_are_cancelled(self):
        stream = self.model.stream("Once upon a time", max_tokens=30)
        first = [next(stream) for _ in range(5)]
        stream.cancel()
        run = stream.result()
        self.assertEqual(run.finish_reason, "cancelled")
        self.assertEqual(run.tokens, [one.id for one in first])
        self.assertTrue(self.whole.text.startswith(run.text))
        self.assertEqual(len(run.transcript), 64)

    def test_of_several_threads_do_not_disturb_each_other(self):
        found = {}

        def work(stages):
            found[stages] = self.model.run("Once upon a time", max_tokens=30, stages=stages).transcript

        threads = [threading.Thread(target=work, args=(1 + i % 3 if i < 3 else 1,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, {1: self.whole.transcript, 2: self.whole.transcript,
                                 3: self.whole.transcript})

    def test_let_other_threads_run_while_they_compute(self):
        # The interpreter itself switches only once in an hour, so what runs beside a step runs because
        # the step gave the interpreter's lock away.
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(3600)
        rounds, over = [0], threading.Event()

        def count():
            while not over.wait(0):
                rounds[0] += 1
                os.sched_yield()

        thread = threading.Thread(target=count)
        thread.start()
        stream = self.model.stream("The fox went into the dark wood. " * 12, prefill_chunk=128)
        before = rounds[0]
        stream._native.step()
        seen = rounds[0] - before
        over.set()
        thread.join()
        self.assertGreater(seen, 0)

    def test_are_taken_by_one_thread(self):
        stream = self.model.stream("The fox went into the dark wood. " * 12, max_tokens=1)
        refused, ended = [], threading.Event()

        def poke():
            while not ended.is_set():
                try:
                    stream._native.over
                except ovir.OvirError as e:
                    refused.append(e.code)

        thread = threading.Thread(target=poke)
        thread.start()
        try:
            while not refused:  # both sides may find the other one at it
                try:
                    stream.result()
                except ovir.OvirError as e:
                    refused.append(e.code)
                if not refused:
                    stream = self.model.stream("The fox went into the dark wood. " * 12, max_tokens=1)
        finally:
            ended.set()
            thread.join()
        self.assertEqual(set(refused), {"busy"})

    def test_end_with_an_interrupt(self):
        begun = threading.Event()

        def interrupt():
            begun.wait()
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with self.assertRaises(KeyboardInterrupt):
            begun.set()
            while True:
                self.model.run("Once upon a time", max_tokens=100)
        thread.join()
        self.assertEqual(self.model.run("Once upon a time", max_tokens=30).transcript,
                         self.whole.transcript)


class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def test_streams_tokens_beside_other_tasks(self):
        model = ovir.Model(threads=1)
        whole = model.run("Once upon a time", max_tokens=20)

        async def read():
            stream = model.astream("Once upon a time", max_tokens=20)
            text = "".join([token.text async for token in stream])
            return text, (await stream.result()).transcript

        answers = await asyncio.gather(read(), read(), model.arun("Once upon a time", max_tokens=20))
        self.assertEqual(answers[:2], [(whole.text, whole.transcript)] * 2)
        self.assertEqual(answers[2].transcript, whole.transcript)

    async def test_a_cancelled_task_cancels_its_run(self):
        stream = ovir.Model(threads=1).astream("Once upon a time", max_tokens=200)
        async for _ in stream:
            break
        task = asyncio.create_task(stream.result())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        for _ in range(200):  # the step under way on another thread ends first
            try:
                run = await stream.result()
                break
            except ovir.OvirError as e:
                self.assertEqual(e.code, "busy")
        self.assertEqual(run.finish_reason, "cancelled")


class Errors(unittest.TestCase):
    def check(self, code, words, call, *arguments, **parameters):
        with self.assertRaises(ovir.OvirError) as caught:
            call(*arguments, **parameters)
        self.assertEqual(caught.exception.code, code, caught.exception)
        self.assertIn(words, caught.exception.message)

    def test_have_a_code_and_a_sentence(self):
        model = ovir.Model(threads=1)
        self.check("not_found", "/no/such.gguf", ovir.Model, "/no/such.gguf")
        self.check("malformed", str(SOURCE / "README.md"), ovir.Model, SOURCE / "README.md")
        self.check("invalid_argument", "threads", ovir.Model, threads=0)
        self.check("invalid_argument", "temperature", model.run, "a", temperature=-1)
        self.check("invalid_argument", "top_p", model.run, "a", top_p=0)
        self.check("invalid_argument", "stages", model.run, "a", stages=99)
        self.check("invalid_argument", "max_tokens", model.run, "a", max_tokens=0)
        self.check("invalid_argument", "prompt", model.run, "")
        self.check("invalid_argument", "prompt", model.run, [])
        self.check("invalid_argument", "vocabulary", model.run, [4_000_000])
        self.check("over_limit", "shorten", model.run, "a story " * 5000)
        self.check("invalid_argument", "stop", model.run, "a", stop=[""])
        with self.assertRaises(TypeError):
            model.run("a", temprature=1)
        with self.assertRaises(TypeError):
            model.run("a", max_tokens=-1)
        self.check("invalid_argument", "top_k", model.run, "a", top_k=-1)
        self.check("invalid_argument", "top_k", model.run, "a", top_k=1.5)
        self.check("invalid_argument", "seed", model.run, "a", seed=2**64)
        self.check("invalid_argument", "stages", model.run, "a", stages=-1)


class Tokens(unittest.TestCase):
    def test_go_there_and_back(self):
        model = ovir.Model(threads=1)
        for text in ("Once upon a time", "", "naïve café — 東京 🦊", "  two  spaces "):
            self.assertEqual(model.decode(model.encode(text)), text)
        ids = model.encode("Once upon a time", add_bos=False)
        self.assertIn(b"Once", b"".join(model.piece(one) for one in ids))
        self.assertEqual(model.config["vocabulary"], len(model.file["tokenizer.ggml.tokens"]))


class Import(unittest.TestCase):
    def test_takes_little_and_loads_no_numpy(self):
        code = ("import time, sys; t = time.perf_counter(); import ovir; "
                "print(round((time.perf_counter() - t) * 1e3, 1), 'numpy' in sys.modules, "
                "'asyncio' in sys.modules, 'http.client' in sys.modules)")
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = str(BUILD / "python-cache")
        lines = [subprocess.run([sys.executable, "-c", code], env=environment, check=True,
                                capture_output=True, text=True).stdout.split() for _ in range(5)]
        print("import ovir:", ", ".join(line[0] for line in lines), "ms", file=sys.stderr)
        self.assertEqual({tuple(line[1:]) for line in lines}, {("False",) * 3})
        self.assertTrue(re.fullmatch(r"\d+\.\d+\.\d+", ovir.__version__))
        self.assertTrue(ovir.profile.startswith("exact-1/"))
