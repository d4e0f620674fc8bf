"""A run in a few lines of Markdown, for a pull request."""

from __future__ import annotations

from . import sentences
from .load import Run
from .tables import markdown_text


def markdown(evidence: Run) -> str:
    """Heading, the table of all backends, what can be said of it, and where it comes from."""
    run = evidence.results
    parts = [f"## {markdown_text(run.dataset.title)}: one network, every framework"]
    parts += [
        f"**{markdown_text(name)} failed:** {markdown_text(why)}"
        for name, why in run.failures.items()
    ]
    parts += [sentences.overview(run).markdown(), markdown_text(sentences.NOTE)]
    parts += map(markdown_text, [sentences.noise_sentence(run), *sentences.tutorial_sentences(run)])
    parts += [markdown_text(proof.verdict) for proof in evidence.proofs]
    parts += [markdown_text(evidence.proof_failed or "")]
    parts += [
        f"- {markdown_text(one.name)}: {markdown_text(sentences.of_run(one))}"
        for one in evidence.runs
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
