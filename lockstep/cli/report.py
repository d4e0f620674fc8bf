"""`lockstep report`: a run's page again from its files, or a page of several runs."""

from __future__ import annotations

import argparse
import webbrowser
from argparse import Namespace
from pathlib import Path

from ..errors import LockstepError, one_of
from . import options as shared


def add_flags(command: argparse.ArgumentParser) -> None:
    """Which runs, and in which form."""
    add = command.add_argument
    add("runs", nargs="+", metavar="RUN", help="a run's folder or name; several give one page")
    add(
        "--format",
        default="html",
        metavar="NAME",
        help="html, or md: Markdown on stdout (default: html)",
    )
    add("--open", action="store_true", help="show the page in the browser")
    shared.add_run(command)


def run(options: Namespace) -> int:
    """Draw it; nothing trains, and neither data nor a framework is needed."""
    from ..report import load
    from ..report.html import page
    from ..report.markdown import markdown
    from ..runs import files

    kind = one_of(("html", "md"), options.format, "format of a report")
    out = Path(options.out)
    folders = [folder_of(name, out) for name in options.runs]
    if kind == "md":
        for flag in ("open", "name"):
            if getattr(options, flag):
                raise LockstepError(f"--{flag} is for a page; leave it out with --format md.")
        print(markdown(load.load(folders)), end="")
        return 0
    if len(folders) == 1:
        if options.name:
            raise LockstepError("--name is for a page of several runs; one run has its own.")
        path = page.write(load.load(folders), folders[0])
    else:
        name = shared.name_of(options, f"report-{shared.now()}")
        found = load.load(folders)
        with files.new_run(out, name) as folder:
            page.write(found, folder)
        path = out / name / "report.html"
    if not options.quiet:
        print(f"Report: {path}")
    if options.open:
        webbrowser.open(path.resolve().as_uri())
    return 0


def folder_of(run: str, out: Path) -> Path:
    """The folder of a run that is given by its folder, by a file in it, or by its name."""
    for path in (Path(run), out / run):
        folder = path.parent if path.is_file() else path
        if folder.is_dir():
            if not (folder / "results.json").is_file():
                raise LockstepError(
                    f"{folder} holds no results.json, so it is no run that `compare` or `train` "
                    "has made; name one, or several for one page."
                )
            return folder
    raise LockstepError(f"There is no run {run!r}, neither as a folder nor in {out}.")
