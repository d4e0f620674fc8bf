"""Downloading, from a small server on 127.0.0.1 in the mirrors' place, good ones and bad."""

from __future__ import annotations

import gzip
import hashlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from test_datasets import small_files

from lockstep.data import datasets, download, sources
from lockstep.data.download import Unreachable, fetch
from lockstep.data.sources import FILES, TEST_LABELS, TRAIN_IMAGES
from lockstep.errors import LockstepError


class Mirror(BaseHTTPRequestHandler):
    """/good/ serves; /corrupt/ has other bytes; /cut/ stops half way; /slow/ crawls; /down/ 503."""

    requests: list[str]  # set on the server's own subclass

    def do_GET(self):
        self.requests.append(self.path)
        _, kind, name = self.path.split("/")
        raw = small_files().get(name.removesuffix(".gz"))
        if raw is None or kind == "down":
            return self.send_error(503)
        probe = name.startswith(TEST_LABELS)  # the first question, which even bad mirrors answer
        body = gzip.compress(b"other bytes") if kind == "corrupt" else raw
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            if kind == "cut" and not probe:
                self.wfile.write(body[: len(body) // 2])
            elif kind == "slow" and not probe:
                for i in range(len(body)):
                    self.wfile.write(body[i : i + 1])
                    time.sleep(0.05)
            else:
                self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            return None  # the client gave up, as it should
        return None

    def log_message(self, *arguments):
        """Quiet."""


@pytest.fixture
def server():
    handler = type("Handler", (Mirror,), {"requests": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def mirrors(server, monkeypatch, edit_source):
    """Put kinds of mirrors into MNIST's row of the table, and its hashes with them."""
    hashes = {
        file: hashlib.sha256(gzip.decompress(raw)).hexdigest()
        for file, raw in small_files().items()
    }
    edit_source("mnist", content_sha256=hashes)
    monkeypatch.setattr(download, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(download.Watch, "CHUNK", 1)

    def put(*kinds):
        base = f"http://127.0.0.1:{server.server_port}"
        urls = tuple(f"{base}/{kind}/" for kind in kinds)
        edit_source("mnist", mirrors=urls)
        return server.RequestHandlerClass.requests

    return put


@pytest.mark.parametrize("first", ["down", "corrupt", "cut", "slow"])
def test_a_bad_mirror_gives_way_to_the_next(mirrors, first, tmp_path):
    requests = mirrors(first, "good")
    fetch("mnist", tmp_path / "mnist")
    data = datasets.read("mnist", tmp_path / "mnist")
    assert len(data.train.labels) == 12
    assert any(f"/{first}/" in path for path in requests)


def test_nothing_is_left_under_a_final_name_when_every_mirror_is_bad(mirrors, tmp_path, capsys):
    mirrors("corrupt", "cut")
    with pytest.raises(Unreachable, match="could not be downloaded from any mirror"):
        fetch("mnist", tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == []
    assert capsys.readouterr().err.count("trying again") == 4  # two mirrors, twice


def test_what_is_there_already_is_not_fetched_again(mirrors, tmp_path):
    requests = mirrors("good")
    fetch("mnist", tmp_path)
    requests.clear()
    fetch("mnist", tmp_path)
    assert requests == []
    (tmp_path / f"{TRAIN_IMAGES}.gz").unlink()
    fetch("mnist", tmp_path)
    assert [p for p in requests if TEST_LABELS not in p] == [f"/good/{TRAIN_IMAGES}.gz"]


def test_two_at_once_do_not_trample_each_other(mirrors, tmp_path):
    requests = mirrors("good")
    threads = [threading.Thread(target=fetch, args=("mnist", tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(datasets.read("mnist", tmp_path).test.labels) == 5
    assert len(requests) == 1 + len(FILES)  # one asked whether the mirror answers, and fetched


def test_without_a_network_it_gives_up_within_ten_seconds(edit_source, tmp_path):
    """One port refuses; one takes the connection and never says a word."""
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        socket.create_server(("127.0.0.1", 0)) as s,
    ):
        refusing = s.getsockname()[1]
        s.close()
        urls = (f"http://127.0.0.1:{refusing}/", f"http://127.0.0.1:{mute.getsockname()[1]}/")
        edit_source("mnist", mirrors=urls)
        start = time.monotonic()
        with pytest.raises(Unreachable, match="no mirror answers"):
            fetch("mnist", tmp_path)
        assert time.monotonic() - start < 10


def test_a_full_disk_is_said_and_leaves_nothing(mirrors, tmp_path, monkeypatch):
    import pooch

    def full(self, url, output_file, pooch_object):
        raise OSError(28, "No space left on device")

    mirrors("good")
    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", full)
    with pytest.raises(LockstepError, match=r"Cannot write into .*: no space left on device"):
        fetch("mnist", tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == []


def test_load_without_a_name_falls_back_loudly(mirrors, monkeypatch, tmp_path, capsys):
    mirrors("down")
    monkeypatch.delenv("LOCKSTEP_DATA", raising=False)
    monkeypatch.setattr(datasets, "cache_folder", lambda name: tmp_path / name)
    assert datasets.load().name == "digits"
    said = capsys.readouterr().err
    assert said.startswith("NOTE: MNIST cannot be downloaded") and "not MNIST" in said


def test_a_name_given_explicitly_never_falls_back(mirrors, monkeypatch, tmp_path):
    mirrors("down")
    monkeypatch.delenv("LOCKSTEP_DATA", raising=False)
    monkeypatch.setattr(datasets, "cache_folder", lambda name: tmp_path / name)
    with pytest.raises(Unreachable, match="--data-dir or LOCKSTEP_DATA"):
        datasets.load("mnist")


@pytest.mark.parametrize("name", sources.SOURCES)
def test_every_dataset_has_two_mirrors_on_different_hosts_and_a_hash_for_each_file(name):
    source = sources.SOURCES[name]
    assert len({download._host(mirror) for mirror in source.mirrors}) >= 2
    assert all(mirror.endswith("/") for mirror in source.mirrors)
    hashes = source.content_sha256 or source.archive_sha256
    assert set(hashes) == set(FILES) and all(len(h) == 64 for h in hashes.values())
