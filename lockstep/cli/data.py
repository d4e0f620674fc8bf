"""`lockstep data`: which datasets are here and whether their hashes hold; download one."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from ..data import datasets
from ..data.sources import SOURCES
from ..errors import FAILED, LockstepError, one_of


def add_flags(command: argparse.ArgumentParser) -> None:
    """Where, and what to download."""
    known = ", ".join(SOURCES)
    command.add_argument(
        "--fetch", metavar="NAME", help=f"download a dataset into the cache folder: {known}"
    )
    command.add_argument("--data-dir", metavar="DIR", help="folder with a dataset's four files")


def run(options: Namespace) -> int:
    """Show or download."""
    from ..report import terminal

    if options.fetch is not None:
        from ..data.download import fetch

        name = one_of(SOURCES, options.fetch, "dataset to download")
        if options.data_dir:
            raise LockstepError("--fetch downloads into the cache folder; leave --data-dir out.")
        folder = fetch(name, datasets.cache_folder(name))
        datasets.read(name, folder)
        print(f"{SOURCES[name].title} is in {folder}")
        return 0
    given = Path(options.data_dir) if options.data_dir else None
    rows = [row for name in SOURCES for row in datasets.inventory(name, given)]
    terminal.print_inventory(rows)
    return FAILED if any(row.bad for row in rows) else 0
