"""What `lockstep verify my_network.py` says in a terminal."""

from __future__ import annotations

from ..own import Verdict

WORDS = {"loss": "the loss", "images": "the prepared pixels"}


def lines(verdict: Verdict) -> list[str]:
    """The verdict first, then each finding: where, by how much, why."""
    judged = f"{verdict.compared} tensors over {verdict.steps} steps, in {verdict.precision}"
    if verdict.same:
        return [f"The same: {judged}, are the network by hand's to rounding."]
    said = [f"Not the same ({judged})."]
    for finding in verdict.findings:
        where = WORDS.get(finding.kind, f"{finding.kind} of {finding.tensor}")
        step = f" at step {finding.step}" if finding.step else ""
        off = "" if finding.difference is None else f", off by {finding.difference:.3g}"
        off += "" if finding.relative is None else f", {finding.relative:.3g} of its size"
        said += ["", f"First wrong: {where}{step}{off}.", f"Why: {finding.diagnosis}"]
    return said


def print_verdict(verdict: Verdict) -> None:
    """Print it; long sentences are left to the terminal to fold."""
    print("\n".join(lines(verdict)))
