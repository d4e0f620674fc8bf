"""What an import costs, and who may import whom (design: the house)."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lockstep.backends.registry import REFERENCE, ROWS

PACKAGE = Path(__file__).parent.parent / "lockstep"
COMPANIONS = {name: set(row.companions) for name, row in ROWS.items() if name != REFERENCE}
"""Each framework, and what its backend may import besides."""
KERNELS = {"backends/kernels.py": {"numba", "llvmlite"}}
"""What is compiled for a backend, which alone imports it; and a loop that is a floor of `bench`."""
FRAMEWORKS = COMPANIONS.keys() | set().union(*COMPANIONS.values())
HEAVY = FRAMEWORKS | {
    "matplotlib", "rich", "pooch", "requests", "sklearn", "safetensors", "tensorboard", "msgspec",
}  # fmt: skip
RECORDS = {"msgspec"}
"""What reading and writing runs needs, for 9 ms: the verbs do, `import lockstep` does not."""


def loaded_after(code: str) -> set[str]:
    """Top-level modules in sys.modules after the code has run in a fresh process."""
    report = "import sys, json; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    output = subprocess.check_output([sys.executable, "-c", f"{code}\n{report}"], text=True)
    return set(json.loads(output.splitlines()[-1]))


def test_importing_lockstep_imports_nothing_heavier_than_numpy():
    assert not loaded_after("import lockstep") & HEAVY
    names = "[name for name in lockstep.__all__ if name != 'figures']"  # which need matplotlib
    every_name = f"import lockstep\nfor name in {names}: getattr(lockstep, name)"
    assert not loaded_after(every_name) & HEAVY - RECORDS


def test_importing_the_network_by_hand_imports_numpy_alone():
    bare = loaded_after("import numpy")
    code = "import lockstep.by_hand.step, lockstep.by_hand.gradients"
    assert loaded_after(code) - bare <= {"lockstep", "__future__"}


def test_help_does_not_even_import_numpy():
    code = "from lockstep.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert not loaded_after(code) & (HEAVY | {"numpy"})


@pytest.mark.parametrize("name", COMPANIONS)
def test_one_framework_does_not_bring_another(name):
    loaded = loaded_after(f"import lockstep; lockstep.load_backend({name!r})")
    unasked = {"jax"} if name == "tensorflow" else set()  # by TensorFlow Lite, where it finds it
    assert loaded & FRAMEWORKS <= {name} | COMPANIONS[name] | unasked


def imports(path: Path) -> set[str]:
    """Absolute names of every module that a file imports, wherever in the file."""
    package = ["lockstep", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_only_a_backends_own_file_says_import_framework(path):
    own = {path.stem} | COMPANIONS.get(path.stem, set())
    kernels = KERNELS.get(path.relative_to(PACKAGE).as_posix())
    allowed = kernels or (own if path.parent.name == "backends" else set())
    assert {name.split(".")[0] for name in imports(path)} & FRAMEWORKS <= allowed


def test_only_numbas_backend_imports_its_kernels():
    saying = {p.name for p in PACKAGE.rglob("*.py") if "lockstep.backends.kernels" in imports(p)}
    assert saying == {"numba.py"}


def test_only_one_file_says_import_tensorboard():
    saying = {p.name for p in PACKAGE.rglob("*.py") if "tensorboard" in tops(imports(p))}
    assert saying == {"tensorboard.py"}


def tops(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}
