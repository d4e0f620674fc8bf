"""The files that other programs read: hooks before a commit, GitHub's workflow, the citation."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from pathlib import Path

import yaml

import lockstep
from lockstep.backends import registry

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "tests.yml"


def read(path: Path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def hooks(config: dict) -> list[dict]:
    return [hook for repo in config["repos"] for hook in repo["hooks"]]


def fetched(config: dict) -> list[str]:
    """What a commit would download: hooks from elsewhere, and those that need an environment."""
    elsewhere = [repo["repo"] for repo in config["repos"] if repo["repo"] != "local"]
    return elsewhere + [hook["id"] for hook in hooks(config) if hook["language"] != "system"]


# --- Before a commit ------------------------------------------------------------------------------


def validated(path: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pre_commit", "validate-config", str(path)]
    return subprocess.run(command, cwd=path.parent, capture_output=True, encoding="utf-8")


def test_the_hooks_are_valid(tmp_path):
    done = validated(ROOT / ".pre-commit-config.yaml")
    assert done.returncode == 0, done.stdout
    wrong = (ROOT / ".pre-commit-config.yaml").read_text("utf-8").replace("entry:", "entri:")
    (tmp_path / "wrong.yaml").write_text(wrong, "utf-8")
    assert validated(tmp_path / "wrong.yaml").returncode == 1


def test_a_commit_fetches_nothing():
    config = read(ROOT / ".pre-commit-config.yaml")
    assert fetched(config) == []
    config["repos"][0]["repo"] = "somewhere"
    hooks(config)[0]["language"] = "python"
    assert fetched(config) == ["somewhere", hooks(config)[0]["id"]]


def test_the_hooks_run_what_make_check_runs():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    lines = re.search(r"^check:.*\n((?:\t.*\n)+)", makefile, re.M)[1].replace("$(BIN)/", "")
    entries = [h["entry"] for h in hooks(read(ROOT / ".pre-commit-config.yaml"))]
    hooked = {words_of(entry.removeprefix(".venv/bin/")) for entry in entries}
    assert hooked == {words_of(line) for line in lines.splitlines()}
    assert hooked == {"ruff format", "ruff check", "mypy", "lint-imports"}


def words_of(command: str) -> str:
    """A command without its flags and paths."""
    return " ".join(word for word in command.split() if word[0] not in "-.")


# --- GitHub ---------------------------------------------------------------------------------------


def test_the_workflow_names_files_frameworks_and_pythons_that_there_are():
    workflow = read(WORKFLOW)
    core = workflow["env"]["CORE"].split()
    assert core and all((ROOT / file).exists() for file in core)
    jobs = workflow["jobs"]
    frameworks = {one["name"] for one in jobs["framework"]["strategy"]["matrix"]["include"]}
    assert frameworks == set(registry.names()) - {"numpy"}
    matrix = jobs["core"]["strategy"]["matrix"]
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert matrix["python"] == re.findall(r"Programming Language :: Python :: (3\.\d+)", project)
    assert {one["system"] for one in matrix["include"]} == {"windows-latest", "macos-latest"}


# --- The citation and the changes -----------------------------------------------------------------


def test_the_citation_has_what_its_format_requires():
    """The keys that CFF 1.2.0 requires, and those by which this version is known."""
    citation = read(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0" and citation["license"] == "MIT"
    assert isinstance(citation["date-released"], datetime.date)
    holder = re.search(r"Copyright \(c\) \d+ (.*)", (ROOT / "LICENSE").read_text("utf-8"))[1]
    assert citation["authors"] == [{"name": holder}]


def test_changes_and_citation_are_of_this_version():
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    version, date = re.findall(r"^## (\S+), (\S+)$", changes, re.M)[0]
    citation = read(ROOT / "CITATION.cff")
    assert version == citation["version"] == lockstep.__version__
    assert date == citation["date-released"].isoformat()
