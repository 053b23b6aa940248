"""The wheel: its form, and that what is inside works from another folder."""

import base64
import csv
import hashlib
import os
import subprocess
import sys
import unittest
import zipfile

from support import BUILD, SOURCE, FolderTest


class Wheel(FolderTest):
    def make(self, folder):
        return subprocess.run([sys.executable, str(SOURCE / "bindings/python/make_wheel"),
                               str(BUILD / "python/ovir"), "0.1.0", str(folder)],
                              check=True, capture_output=True, text=True).stdout.strip()

    def test_is_whole_and_the_same_each_time(self):
        name = self.make(self.folder / "a")
        with open(name, "rb") as one, open(self.make(self.folder / "b"), "rb") as other:
            self.assertEqual(one.read(), other.read())
        with zipfile.ZipFile(name) as wheel:
            self.assertIsNone(wheel.testzip())
            names = set(wheel.namelist())
            lines = list(csv.reader(wheel.read("ovir-0.1.0.dist-info/RECORD").decode().splitlines()))
            self.assertEqual({line[0] for line in lines}, names)
            for file, digest, size in lines:
                if digest:
                    data = wheel.read(file)
                    want = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                    self.assertEqual((digest, int(size)), (f"sha256={want}", len(data)))
        self.assertLessEqual({"ovir/py.typed", "ovir/_native.pyi", "ovir/__init__.py"}, names)

    def test_works_where_it_is_unpacked(self):
        place = self.folder / "site"
        with zipfile.ZipFile(self.make(self.folder)) as wheel:
            wheel.extractall(place)
        environment = {**os.environ, "PYTHONPATH": str(place)}
        said = subprocess.run([sys.executable, "-c",
                               "import ovir; print(ovir.__file__); "
                               "print(ovir.Model(threads=1).run('A', max_tokens=3).transcript)"],
                              env=environment, check=True, capture_output=True, text=True, cwd=place)
        where, transcript = said.stdout.split()
        self.assertTrue(where.startswith(str(place)))
        self.assertEqual(self.ovir_json("run", "-p", "A", "-n", 3, "--no-cache")["transcript"], transcript)


class Hints(unittest.TestCase):
    def test_name_all_of_the_native_module(self):
        import ast

        from ovir import _native

        tree = ast.parse((BUILD / "python/ovir/_native.pyi").read_text(encoding="utf-8"))
        hinted = {}
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                hinted[node.name] = {getattr(one, "name", None) or one.target.id for one in node.body}
            elif isinstance(node, ast.FunctionDef):
                hinted[node.name] = None
            elif isinstance(node, ast.AnnAssign):
                hinted[node.target.id] = None
        real = {name for name in dir(_native) if not name.startswith("_")}
        self.assertEqual(set(hinted), real)
        for name, members in hinted.items():
            if members is not None:
                real = {one for one in vars(getattr(_native, name)) if not one.startswith("_")}
                self.assertEqual({one for one in members if not one.startswith("_")}, real, name)
