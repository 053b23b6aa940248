"""Executes notebook.ipynb of the guide, cell by cell, and compares what it prints with what it shows.

OVIR_WRITE_NOTEBOOK=1 writes what was printed into the notebook instead."""

import ast
import asyncio
import contextlib
import inspect
import io
import json
import os
import unittest

from support import BUILD, SOURCE, FolderTest

NOTEBOOK = SOURCE / "docs" / "guide" / "notebook.ipynb"


def printed_by(source: str, names: dict) -> str:
    out = io.StringIO()
    code = compile(source, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(out):
        made = eval(code, names)  # a cell that awaits is a coroutine
        if inspect.iscoroutine(made):
            asyncio.run(made)
    return out.getvalue()


class Notebook(FolderTest):
    def test_prints_what_it_shows(self):
        notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
        self.assertEqual((notebook["nbformat"], notebook["nbformat_minor"]), (4, 5))
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        self.assertGreater(len(cells), 5)
        before = os.getcwd(), dict(os.environ)
        names: dict = {"__name__": "__main__"}
        try:
            os.chdir(self.folder)
            os.environ.update(self.environment, PATH=f"{BUILD}:{os.environ['PATH']}",
                              OVIR_ASSETS=str(SOURCE / "assets"))
            for number, cell in enumerate(cells, 1):
                text = printed_by("".join(cell["source"]), names)
                shown = "".join("".join(one["text"]) for one in cell["outputs"])
                if os.environ.get("OVIR_WRITE_NOTEBOOK"):
                    cell["execution_count"] = number
                    cell["outputs"] = [{"output_type": "stream", "name": "stdout",
                                        "text": text.splitlines(keepends=True)}] if text else []
                else:
                    self.assertEqual(text, shown, f"cell {number}")
        finally:
            os.chdir(before[0])
            os.environ.clear()
            os.environ.update(before[1])
        if os.environ.get("OVIR_WRITE_NOTEBOOK"):
            NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


