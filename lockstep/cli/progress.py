"""Long work as people see it: live bars on a terminal, plain lines elsewhere, nothing if asked."""

from __future__ import annotations

from typing import Any, Self

from ..processes.events import Event
from ..report.terminal import epoch_line, new_console


class Progress:
    """The listener that shows events (`processes/events.py` lists them all).

    With `stderr` it writes there, so that stdout has the result alone. `total` is how many parts
    other long work has, if it tells "part".
    """

    def __init__(self, quiet: bool = False, stderr: bool = False, total: int = 0) -> None:
        self.quiet = quiet
        if quiet:
            return
        from rich import progress

        self.console = new_console(stderr)
        self.live = self.console.is_terminal
        self.total, self.said = total, ""
        self.bars = progress.Progress(
            progress.TextColumn("{task.description:<28}", markup=False),
            progress.BarColumn(bar_width=24),
            progress.TextColumn("{task.fields[words]}", markup=False),
            progress.TimeElapsedColumn(),
            console=self.console,
            disable=not self.live,
        )
        self.tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if not self.quiet:
            self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        if not self.quiet:
            self.bars.stop()

    def __call__(self, event: Event) -> None:
        """Show one event; a kind that nobody has a method for is not for people."""
        show = getattr(self, f"_{event['event']}", None)
        if show and not self.quiet:
            show(event)

    # --- Training ---------------------------------------------------------------------------------

    def _training(self, event: Event) -> None:
        self.epochs = event["recipe"].epochs
        seed, repeats = event["recipe"].seed, event["repeats"]
        of_many = f", seed {seed} ({event['repeat'] + 1} of {repeats})" if repeats > 1 else ""
        self._line(f"{event['label']}{of_many}")
        title = f"{event['label']} seed {seed}" if repeats > 1 else event["label"]
        self.task = self.bars.add_task(title, total=self.epochs, words="importing …")

    def _ready(self, event: Event) -> None:
        self._line(f"  {event['version']} on {event['device']}")
        self._update(f"{event['version']}: warming up …")

    def _compiling(self, event: Event) -> None:
        if "backend" in event:  # of a proof
            self._note({"words": f"{event['backend']}: {event['words']}"})
            return
        self._line(f"  {event['words']}")
        self._update(f"{event['words']} …")

    def _running(self, event: Event) -> None:
        words = f"loss {event['running_loss']:.4f}  accuracy {event['running_accuracy']:7.2%}"
        self._update(f"epoch {event['epoch']}/{self.epochs}  {words}", event["epochs_done"])

    def _epoch(self, event: Event) -> None:
        self._line(f"  {epoch_line(event, self.epochs)}")
        words = f"test loss {event['test_loss']:.4f}  test accuracy {event['test_accuracy']:7.2%}"
        self._update(f"epoch {event['epoch']}/{self.epochs}  {words}", event["epoch"])

    def _trained(self, event: Event) -> None:
        self.bars.stop_task(self.task)

    def _failed(self, event: Event) -> None:
        self._line(f"  failed: {event['message']}")
        self._update(f"failed: {event['message']}")
        self.bars.stop_task(self.task)

    # --- Everything else --------------------------------------------------------------------------

    def _step(self, event: Event) -> None:
        """A step of a proof: one bar for each title."""
        title, step, steps = event["title"], event["step"], event["steps"]
        if title not in self.tasks:
            self.tasks[title] = self.bars.add_task(title, total=steps, words="")
        words = f"{step} of {steps} steps compared"
        self.bars.update(self.tasks[title], completed=step, words=words)
        if step == steps:
            self.bars.stop_task(self.tasks[title])
            self._line(f"  {title}: {steps} steps compared")

    def _part(self, event: Event) -> None:
        """A part of other long work: one bar for all; in a log, a line for each stage."""
        if "parts" not in self.tasks:
            self.tasks["parts"] = self.bars.add_task("", total=self.total, words="")
        words = event["words"]
        self.bars.update(self.tasks["parts"], advance=int(event["done"]))
        if words:
            self.bars.update(self.tasks["parts"], words=words)
            stage = words if event["done"] else words.split(": ")[0]
            if stage != self.said:
                self._line(stage)
            self.said = stage

    def _note(self, event: Event) -> None:
        self.console.print(event["words"], markup=False, soft_wrap=True)

    def _line(self, words: str) -> None:
        """A line for a log; on a terminal the bar says it."""
        if not self.live:
            self._note({"words": words})

    def _update(self, words: str, completed: float | None = None) -> None:
        self.bars.update(self.task, words=words, completed=completed)
