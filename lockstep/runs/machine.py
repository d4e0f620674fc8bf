"""The machine that a run was made on, and the memory that this process has taken."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__

WIDEST = {"avx512f": "AVX-512", "avx2": "AVX2"}
"""Linux' flags for sets of vector instructions, widest first, and their names."""


def environment() -> dict[str, Any]:
    """The machine and the versions that a reader needs to make sense of the figures."""
    return {
        "lockstep": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
    }


def _processor() -> str:
    """The processor's name; Linux keeps it in a file, elsewhere `platform` knows."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    return _named_in(cpuinfo) or platform.processor()


def _named_in(cpuinfo: str) -> str:
    """The first processor's name and its widest registers, which the name alone may not tell."""
    first = cpuinfo.strip().split("\n\n")[0].splitlines()
    fields = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first)
    }
    flags = fields.get("flags", "").split()
    widest = [title for flag, title in WIDEST.items() if flag in flags][:1]
    return ", ".join([fields["model name"], *widest]) if "model name" in fields else ""


def peak_rss_bytes() -> int:
    """The largest resident memory that this process has had.

    Linux: VmHWM, because `ru_maxrss` there starts from the parent's peak. macOS counts `ru_maxrss`
    in bytes. Windows: the peak working set.
    """
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
        if sizes:  # some sandboxes leave the line out
            return sizes[0]
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    unit = 1024 if sys.platform == "linux" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
