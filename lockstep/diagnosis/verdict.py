"""What a check has found: each thing that is wrong, where it shows first, and why."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is wrong: where it shows first, and why, as far as the numbers tell."""

    step: int
    """From 1; 0 before the first."""
    tensor: str
    """"" for the loss."""
    kind: str
    """One of `proof.trace.KINDS`, or "images" for the prepared pixels."""
    difference: float | None
    """The largest absolute difference in that tensor; None where something is missing."""
    relative: float | None
    """The same, relative to the tensor's largest number; for weights, to their largest move."""
    evidence: str
    names: tuple[str, ...]
    """The mistakes that explain it: one, or a few that the numbers do not tell apart, or none."""
    sentences: tuple[str, ...]

    @property
    def diagnosis(self) -> str:
        """One sentence: the evidence, and what explains it."""
        if not self.names:
            return f"unexplained: {self.evidence}."
        if len(self.sentences) == 1:
            return f"{self.evidence}: {self.sentences[0]}."
        reasons = ", or ".join(self.sentences)
        return f"{self.evidence}: either {reasons}; these numbers do not tell which."


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a program computes what the network by hand computes, and if not, where and why."""

    forms: tuple[str, ...]
    """What the file holds: "prepare", "step", "train", "Network"."""
    precision: str
    """That of the numbers, which says how near they must be."""
    steps: int
    compared: int
    """How many tensors were compared with the reference's."""
    findings: tuple[Finding, ...]

    @property
    def same(self) -> bool:
        """Whether every number is the reference's, to near rounding."""
        return not self.findings

    @property
    def diagnosis(self) -> str | None:
        """What is wrong first, in one sentence; None if nothing is."""
        return self.findings[0].diagnosis if self.findings else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        found = [{**dataclasses.asdict(f), "diagnosis": f.diagnosis} for f in self.findings]
        return {
            "same": self.same,
            "forms": list(self.forms),
            "precision": self.precision,
            "steps": self.steps,
            "compared": self.compared,
            "findings": found,
        }
