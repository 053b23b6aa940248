"""What the tests of the Python package share."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["OVIR_SOURCE"])
BUILD = pathlib.Path(os.environ["OVIR_BUILD"])
PROGRAM = BUILD / "ovir"
TALES = SOURCE / "assets" / "tales-q8_0.gguf"


class FolderTest(unittest.TestCase):
    """A test with a folder and a state of its own."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.environment = {**os.environ, "OVIR_HOME": str(self.folder / "state"),
                            "HOME": str(self.folder)}

    def ovir(self, *arguments: object) -> str:
        done = subprocess.run([str(PROGRAM), *map(str, arguments)], env=self.environment,
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def ovir_json(self, *arguments: object) -> dict:
        return json.loads(self.ovir(*arguments, "--json"))
