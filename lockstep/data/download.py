"""Fetch a dataset from its mirrors into a folder: checked, locked, never half a file.

Pooch downloads beside the final name and renames; a file gets that name only after its content has
been checked. A mirror that is down, slow, cut off or corrupt gives way to the next.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import LockstepError, reason
from . import idx, sources

ANSWER_SECONDS = 6.0
"""How long the mirrors have to answer at all; so without a network we give up within 10 s."""
STALL_SECONDS = 8.0
"""How long a download may go without a byte."""
GRACE_SECONDS, SLOWEST = 5.0, 20_000
"""After the grace, a mirror slower than this many bytes a second gives way."""
ROUNDS = 2


class Unreachable(LockstepError):
    """The dataset cannot be downloaded: no mirror answers, or none serves the true files."""


def fetch(name: str, folder: Path) -> Path:
    """Download what the folder lacks of a dataset's files; returns the folder."""
    from filelock import FileLock

    source = sources.SOURCES[name]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _mirrors(source)  # without a network it would not have helped
        raise LockstepError(f"Cannot write into {folder}: {reason(error)}.") from None
    try:
        with FileLock(folder / ".lock"):
            wanted = [file for file in sources.FILES if sources.locate(folder, file) is None]
            if wanted:
                _fetch_files(name, source, wanted, folder)
    except OSError as error:
        raise LockstepError(f"Cannot write into {folder}: {reason(error)}.") from None
    return folder


def _fetch_files(name: str, source: sources.Source, wanted: list[str], folder: Path) -> None:
    mirrors = _mirrors(source)
    print(f"Downloading {source.title}, about {source.megabytes} MB, to {folder}", file=sys.stderr)
    for file in wanted:
        _fetch_file(name, source, file, mirrors, folder)


def _mirrors(source: sources.Source) -> list[str]:
    """The mirrors that answer, of which there must be one."""
    mirrors = _answering(source.mirrors)
    if not mirrors:
        hosts = ", ".join(_host(mirror) for mirror in source.mirrors)
        raise Unreachable(
            f"{source.title} cannot be downloaded: no mirror answers ({hosts}). Connect to a "
            "network, or name a folder that has its four files with --data-dir or LOCKSTEP_DATA."
        )
    return mirrors


def _answering(mirrors: tuple[str, ...]) -> list[str]:
    """The mirrors that serve their smallest file, in the table's order.

    They are asked at the same time, in threads, because a name look-up without a network can hang
    for longer than any timeout that a connection takes.
    """
    import requests

    answered: set[str] = set()

    def ask(mirror: str) -> None:
        url = f"{mirror}{sources.TEST_LABELS}.gz"
        try:
            with requests.get(url, stream=True, timeout=ANSWER_SECONDS) as response:
                if response.ok:
                    answered.add(mirror)
        except requests.exceptions.RequestException:
            return  # not in `answered`, which is all that is asked

    threads = [threading.Thread(target=ask, args=(m,), daemon=True) for m in mirrors]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + ANSWER_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [mirror for mirror in mirrors if mirror in answered]


def _fetch_file(
    name: str, source: sources.Source, file: str, mirrors: list[str], folder: Path
) -> None:
    """One file from the first mirror that serves it whole and true; each mirror has two tries."""
    import pooch
    from requests.exceptions import RequestException

    pooch.get_logger().setLevel("WARNING")
    faults: list[str] = []
    for mirror in mirrors * ROUNDS:
        download = CheckedDownload(name, file, f"{file}.gz from {_host(mirror)}")
        try:
            pooch.retrieve(f"{mirror}{file}.gz", None, f"{file}.gz", folder, downloader=download)
            return
        except (RequestException, LockstepError) as error:
            faults.append(f"{_host(mirror)}: {_short(error)}")
            print(f"  {faults[-1]}; trying again", file=sys.stderr)
    unlike = "; ".join(dict.fromkeys(faults))
    raise Unreachable(
        f"{source.title}'s {file}.gz could not be downloaded from any mirror ({unlike})."
    )


class CheckedDownload:
    """A pooch downloader: fetch to the temporary file given, then check what it holds."""

    def __init__(self, name: str, file: str, label: str) -> None:
        self.name, self.file, self.label = name, file, label

    def __call__(self, url: str, output_file: str, pooch_object: object) -> None:
        import pooch

        with Watch(self.label) as watch:
            get = pooch.HTTPDownloader(
                progressbar=watch, chunk_size=Watch.CHUNK, timeout=STALL_SECONDS
            )
            get(url, output_file, pooch_object)
        raw, archive = Path(output_file).read_bytes(), Path(f"{self.file}.gz")
        content = idx.content_of(raw, archive)
        sources.parse(content, self.file, archive)
        digest = hashlib.sha256(content).hexdigest()
        sources.check_hash(self.name, self.file, archive, raw, digest)


class Watch:
    """What pooch calls a progress bar: draws one on a terminal, and stops a mirror that crawls."""

    CHUNK = 1 << 16

    def __init__(self, label: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            DownloadColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task(label, total=None)
        self.total = 0
        self.received = 0
        self.start = time.monotonic()

    def __enter__(self) -> Watch:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def update(self, size: int) -> None:
        """Called by pooch for every chunk."""
        from requests.exceptions import Timeout

        self.received += size
        self.bar.update(self.task, completed=min(self.received, self.total), total=self.total)
        elapsed = time.monotonic() - self.start
        if elapsed > GRACE_SECONDS and self.received < SLOWEST * elapsed:
            raise Timeout(f"slower than {SLOWEST // 1000} kB a second")

    def reset(self) -> None:
        """Called by pooch at the end, before it reports the whole size once more."""
        self.received = 0
        self.start = time.monotonic()

    def close(self) -> None:
        """Called by pooch when the file is complete."""


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _short(error: Exception) -> str:
    """The gist of an error, without urllib3's nested representations."""
    if isinstance(error, LockstepError):
        return str(error).rstrip(".")
    return f"{type(error).__name__} {str(error)[:80]}".strip()
