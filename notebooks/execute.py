"""Execute the notebooks of the root from their text, and keep what they show.

    python notebooks/execute.py                 all of them, in full: what `make notebooks` does
    python notebooks/execute.py NN_PyTorch      one of them

The text in notebooks/NAME.md is the source; NAME.ipynb is that text with its outputs. Whatever
varies without meaning (cell ids, times, the machine's Python) is left out, so that a diff shows
what has changed for a reader.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
NAMES = ("NN_from_scratch", "NN_PyTorch", "NN_tensorflow", "comparison")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def source(name: str) -> NotebookNode:
    """The notebook as its text has it, without outputs; a cell's id is the hash of its source."""
    notebook = jupytext.read(FOLDER / f"{name}.md")
    notebook.metadata = NotebookNode(
        jupytext={"formats": "ipynb,notebooks//md", "notebook_metadata_filter": "-all"},
        kernelspec=NotebookNode(KERNEL),
        language_info=NotebookNode(name="python"),
    )
    for cell in notebook.cells:
        cell.id = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        cell.metadata = NotebookNode()
    return notebook


@contextmanager
def executed(notebook: NotebookNode, folder: Path, **environment: str) -> Iterator[NotebookClient]:
    """Run every cell from the top in a fresh kernel in `folder`; the outputs land in the notebook.

    Environment variables are added to this process'. Raises CellExecutionError at the first cell
    that fails. The kernel lives until the block ends, so that it can be asked more.
    """
    client = NotebookClient(
        notebook,
        timeout=1200,  # seconds for a cell
        kernel_name=KERNEL["name"],
        record_timing=False,
        coalesce_streams=True,
        shutdown_kernel="immediate",
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],  # the kernel's own notes are not the lesson's
    )
    with client.setup_kernel(env={**os.environ, **environment}):
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        yield client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    names = parser.parse_args().names or NAMES
    if "LOCKSTEP_NOTEBOOK" in os.environ:
        parser.error("LOCKSTEP_NOTEBOOK is set, but what is kept are full runs; unset it")
    for name in names:
        start = perf_counter()
        notebook = source(name)
        with executed(notebook, ROOT):
            nbformat.write(notebook, ROOT / f"{name}.ipynb")
        print(f"{name}.ipynb: executed in {perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
