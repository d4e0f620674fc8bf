"""The process in which one backend is stepped beside the network by hand."""

from __future__ import annotations

from typing import Any

from ..processes.child import serve_backend


def task(*arguments: Any) -> Any:
    """`beside.work`, imported when the framework is: NumPy belongs to what an import costs."""
    from .beside import work

    return work(*arguments)


if __name__ == "__main__":
    raise SystemExit(serve_backend(task))
