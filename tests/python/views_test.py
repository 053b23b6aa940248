"""Views without a copy: of tensors of mapped files, and of what runs keep. Their lifetime."""

import gc
import re
import unittest

import numpy
import ovir
from gguf_file import F16, F32, I32, Q8_0, write
from support import TALES, FolderTest


def mapping_of(path) -> int:
    """Where a file is mapped in this process; 0: it is not."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            if line.rstrip().endswith(str(path)):
                return int(line.split("-")[0], 16)
    return 0


class MappedTensors(FolderTest):
    def setUp(self):
        super().setUp()
        seed = 20261130
        print(f"seed {seed}")
        chance = numpy.random.default_rng(seed)
        self.path = self.folder / "million.gguf"
        self.halves = chance.standard_normal((1000, 1000)).astype(numpy.float16)
        self.floats = chance.standard_normal((3, 5, 7)).astype(numpy.float32)
        self.whole = chance.integers(-9, 9, 11, dtype=numpy.int32)
        self.scales = chance.random((4, 2)).astype(numpy.float16)
        self.weights = chance.integers(-127, 127, (4, 2, 32)).astype(numpy.int8)
        blocks = b"".join(self.scales[r, b].tobytes() + self.weights[r, b].tobytes()
                          for r in range(4) for b in range(2))
        write(self.path, [("halves", (1000, 1000), F16, self.halves.tobytes()),
                          ("floats", (3, 5, 7), F32, self.floats.tobytes()),
                          ("whole", (11,), I32, self.whole.tobytes()),
                          ("blocks", (4, 64), Q8_0, blocks)])

    def test_a_million_elements_are_seen_where_the_file_is_mapped(self):
        file = ovir.File(self.path)
        tensor = file.tensor("halves")
        array = tensor.numpy()
        address = array.__array_interface__["data"][0]
        self.assertEqual(array.size, 1_000_000)
        self.assertEqual(address, mapping_of(self.path) + tensor.offset)
        self.assertEqual(address, tensor.numpy().__array_interface__["data"][0])
        self.assertEqual(address, tensor.raw().__array_interface__["data"][0])
        self.assertEqual(array.dtype, numpy.float16)
        self.assertFalse(array.flags.owndata)
        numpy.testing.assert_array_equal(array, self.halves)

    def test_a_view_keeps_its_file_alive_and_lets_it_go(self):
        array = ovir.File(self.path).tensor("halves").numpy()[10:20, ::2]
        gc.collect()
        self.path.unlink()  # its name; the mapping stays
        gone = f"{self.path} (deleted)"
        self.assertNotEqual(mapping_of(gone), 0)
        numpy.testing.assert_array_equal(array, self.halves[10:20, ::2])
        del array
        gc.collect()
        self.assertEqual(mapping_of(gone), 0)

    def test_nothing_can_be_written_through_a_view(self):
        tensor = ovir.File(self.path).tensor("floats")
        array = tensor.numpy()
        with self.assertRaises(ValueError):
            array[0, 0, 0] = 1
        with self.assertRaises(ValueError):
            array.flags.writeable = True
        self.assertTrue(memoryview(tensor._native.view()).readonly)

    def test_shapes_and_types_are_those_of_the_file(self):
        file = ovir.File(self.path)
        self.assertEqual([one.name for one in file.tensors()], ["halves", "floats", "whole", "blocks"])
        self.assertEqual(file.tensor("floats").shape, (3, 5, 7))
        numpy.testing.assert_array_equal(file.tensor("floats").numpy(), self.floats)
        numpy.testing.assert_array_equal(file.tensor("whole").numpy(), self.whole)
        blocks = file.tensor("blocks")
        self.assertEqual((blocks.type, blocks.nbytes, blocks.raw().size), ("Q8_0", 272, 272))
        with self.assertRaises(ovir.OvirError) as refused:
            blocks.numpy()
        self.assertEqual(refused.exception.code, "unsupported")
        with self.assertRaises(ovir.OvirError) as missing:
            file.tensor("none")
        self.assertEqual(missing.exception.code, "not_found")
        self.assertEqual(file["general.alignment"], 64)

    def test_decoded_copies_have_the_exact_values(self):
        file = ovir.File(self.path)
        want = self.scales.astype(numpy.float32)[:, :, None] * self.weights
        got = file.tensor("blocks").decode()
        numpy.testing.assert_array_equal(got, want.reshape(4, 64))
        numpy.testing.assert_array_equal(file.tensor("blocks").decode(1, 2), got[1:3])
        self.assertEqual(file.tensor("blocks").decode(4, 0).shape, (0, 64))
        got[0, 0] = 5  # a copy is the caller's
        numpy.testing.assert_array_equal(file.tensor("floats").decode(), self.floats)
        numpy.testing.assert_array_equal(file.tensor("halves").decode(7, 1)[0], self.halves[7])

    def test_what_cannot_be_decoded_is_refused(self):
        bad = self.folder / "bad.gguf"
        write(bad, [("infinite", (1, 32), Q8_0, numpy.float16(numpy.inf).tobytes() + bytes(32)),
                    ("whole", (11,), I32, self.whole.tobytes())])
        file = ovir.File(bad)
        for name, code in (("infinite", "malformed"), ("whole", "unsupported")):
            with self.assertRaises(ovir.OvirError) as refused:
                file.tensor(name).decode()
            self.assertEqual(refused.exception.code, code)
        for first, count in ((2, 0), (0, 2), (1, 1), (2**63, 1), (1, 2**63)):
            with self.assertRaises(ovir.OvirError) as refused:
                file.tensor("infinite").decode(first, count)
            self.assertEqual(refused.exception.code, "invalid_argument")
        for cut in (0, 3, 24, 100, bad.stat().st_size - 200):
            torn = self.folder / f"torn{cut}"
            torn.write_bytes(bad.read_bytes()[:cut])
            with self.assertRaises(ovir.OvirError):
                ovir.File(torn)

    def test_a_model_shows_the_tensors_of_its_file(self):
        model = ovir.Model(TALES, threads=1)
        tensor = model.file.tensor("token_embd.weight")
        array = tensor.raw()
        start = mapping_of(TALES.resolve())
        self.assertEqual(array.__array_interface__["data"][0], start + tensor.offset)
        model.run("a", max_tokens=1)  # packs the weights, and gives pages of the file back
        self.assertEqual(bytes(array[:64]), TALES.read_bytes()[tensor.offset:tensor.offset + 64])


class KeptOfRuns(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = ovir.Model(threads=1)
        cls.run_ = cls.model.run("Once upon a time", max_tokens=40, stages=3, keep_logits=True,
                                 keep_boundaries=True)

    def test_tokens_follow_from_the_logits(self):
        logits = self.run_.logits()
        self.assertEqual(logits.shape, (len(self.run_.tokens), self.model.config["vocabulary"]))
        self.assertEqual(logits.argmax(axis=1).tolist(), self.run_.tokens)
        self.assertEqual(logits.__array_interface__["data"][0],
                         self.run_.logits().__array_interface__["data"][0])

    def test_boundaries_are_the_same_wherever_the_model_is_cut(self):
        config = self.model.config
        other = ovir.Model(isa="reference", threads=2).run(
            "Once upon a time", max_tokens=40, stages=config["layers"], keep_boundaries=True)
        self.assertEqual(other.stages(), [(i, i + 1) for i in range(config["layers"])])
        for edge, (_, last) in enumerate(self.run_.stages()[:-1]):
            kept = self.run_.boundary(edge)
            self.assertEqual(kept.shape, (self.run_.positions, config["dim"]))
            numpy.testing.assert_array_equal(kept, other.boundary(last - 1))
        with self.assertRaises(ovir.OvirError):
            self.run_.boundary(2)

    def test_keys_and_values_are_seen_in_place(self):
        config = self.model.config
        one = self.model.run("Once upon a time", max_tokens=40)
        for layer in range(config["layers"]):
            for kind in ("keys", "values"):
                kept = getattr(self.run_, kind)(layer)
                self.assertEqual(kept.shape, (config["kv_heads"], self.run_.positions, config["head_dim"]))
                self.assertEqual(kept.dtype, numpy.float16)
                self.assertTrue(numpy.isfinite(kept).all())
                numpy.testing.assert_array_equal(kept, getattr(one, kind)(layer))
        self.assertFalse(numpy.array_equal(self.run_.keys(0), self.run_.values(0)))
        with self.assertRaises(ovir.OvirError):
            one.keys(config["layers"])

    def test_an_array_outlives_its_run_and_model(self):
        model = ovir.Model(threads=1)
        run = model.run("A bird", max_tokens=8, keep_logits=True)
        logits, keys = run.logits(), run.keys(0)
        want = logits.copy(), keys.copy()
        del model, run
        gc.collect()
        self.model.run("Another story about a fox", max_tokens=20, keep_logits=True)
        numpy.testing.assert_array_equal(logits, want[0])
        numpy.testing.assert_array_equal(keys, want[1])

    def test_nothing_is_seen_of_a_run_that_goes_on(self):
        stream = self.model.stream("A bird", max_tokens=8, keep_logits=True)
        next(stream)
        for look in (stream._native.logits, lambda: stream._native.kept(0, False),
                     lambda: stream._native.boundary(0)):
            with self.assertRaises(ovir.OvirError) as refused:
                look()
            self.assertEqual(refused.exception.code, "invalid_argument")

    def test_nothing_is_kept_that_was_not_asked_for(self):
        run = self.model.run("A bird", max_tokens=3)
        self.assertEqual(run.logits().shape, (0, self.model.config["vocabulary"]))
        with self.assertRaises(ovir.OvirError):
            run.boundary(0)

    def test_the_views_need_no_numpy(self):
        view = memoryview(self.run_._native.logits())
        self.assertTrue(re.fullmatch("f", view.format))
        self.assertEqual(view.shape, (len(self.run_.tokens), self.model.config["vocabulary"]))
