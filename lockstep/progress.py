"""How far the work is: a live bar on a terminal, plain lines elsewhere, nothing if asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from .recipe import Recipe
from .report import text


class Progress:
    """Shows the events of one backend after the other. This one shows nothing."""

    @staticmethod
    def quiet() -> Progress:
        return Progress()

    @staticmethod
    def for_terminal() -> Progress:
        """A live bar if a person is watching stdout, else plain lines."""
        return Bar() if sys.stdout.isatty() else Lines()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...
    def start(self, backend: str, recipe: Recipe, repeat: int, repeats: int) -> None: ...
    def event(self, event: dict) -> None: ...
    def done(self) -> None: ...
    def failed(self, message: str) -> None: ...
    def compared(self, title: str, step: int, steps: int) -> None: ...
    def note(self, line: str) -> None: ...


class Lines(Progress):
    """One line for each epoch; for logs and pipes."""

    def start(self, backend: str, recipe: Recipe, repeat: int, repeats: int) -> None:
        self.epochs = recipe.epochs
        seed = f", seed {recipe.seed} ({repeat + 1} of {repeats})" if repeats > 1 else ""
        print(f"{backend}{seed}", flush=True)

    def event(self, event: dict) -> None:
        if event["event"] == "ready":
            print(f"  {event['version']} on {event['device']}", flush=True)
        elif event["event"] == "compiling":
            print(f"  {event['words']}", flush=True)
        elif event["event"] == "epoch":
            print(f"  {text.epoch_line(event, self.epochs)}", flush=True)

    def failed(self, message: str) -> None:
        print(f"  failed: {message}", flush=True)

    def compared(self, title: str, step: int, steps: int) -> None:
        if step == steps:
            print(f"  {title}: {steps} steps compared", flush=True)

    def note(self, line: str) -> None:
        print(line, flush=True)


class Bar(Progress):
    """A live bar for each backend, with the running loss and accuracy."""

    def __init__(self) -> None:
        from rich import progress

        self.bars = progress.Progress(
            progress.TextColumn("{task.description:<28}"),
            progress.BarColumn(bar_width=24),
            progress.TextColumn("{task.fields[words]}"),
            progress.TimeElapsedColumn(),
        )

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def start(self, backend: str, recipe: Recipe, repeat: int, repeats: int) -> None:
        self.epochs = recipe.epochs
        title = f"{backend} seed {recipe.seed}" if repeats > 1 else backend
        self.task = self.bars.add_task(title, total=recipe.epochs, words="importing …")

    def event(self, event: dict) -> None:
        if event["event"] == "ready":
            self.bars.update(self.task, words=f"{event['version']}: warming up …")
        elif event["event"] == "compiling":
            self.bars.update(self.task, words=f"{event['words']} …")
        elif event["event"] == "running":
            words = (
                f"epoch {event['epoch']}/{self.epochs}  loss {event['running_loss']:.4f}  "
                f"accuracy {event['running_accuracy']:7.2%}"
            )
            self.bars.update(self.task, completed=event["epochs_done"], words=words)
        else:
            words = (
                f"epoch {event['epoch']}/{self.epochs}  test loss {event['test_loss']:.4f}  "
                f"test accuracy {event['test_accuracy']:7.2%}"
            )
            self.bars.update(self.task, completed=event["epoch"], words=words)

    def done(self) -> None:
        self.bars.stop_task(self.task)

    def failed(self, message: str) -> None:
        from rich.markup import escape

        self.bars.update(self.task, words=f"[red]failed: {escape(message)}")
        self.bars.stop_task(self.task)

    def compared(self, title: str, step: int, steps: int) -> None:
        if step == 1:
            self.task = self.bars.add_task(title, total=steps, words="")
        self.bars.update(self.task, completed=step, words=f"{step} of {steps} steps compared")
        if step == steps:
            self.bars.stop_task(self.task)

    def note(self, line: str) -> None:
        self.bars.console.print(line)


@contextmanager
def counting(total: int, quiet: bool) -> Iterator[Callable[[str, bool], None]]:
    """Shows on stderr how far something of `total` parts is.

    Gives a function of words, which say what is going on, and whether a part is done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, quiet=quiet)
    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("{task.description}", markup=False))  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal or quiet) as bars:
        task = bars.add_task("", total=total)
        said = ""

        def tell(words: str, done: bool) -> None:
            nonlocal said
            stage = words.split(": ")[0]  # a log has a line for each, not for everything within
            if words and stage != said and not console.is_terminal:
                console.print(stage if not done else words, highlight=False, markup=False,
                              soft_wrap=True)  # fmt: skip
                said = stage
            bars.update(task, advance=int(done), description=words or None)

        yield tell


@contextmanager
def proving(steps: int, quiet: bool) -> Iterator[Callable[[str, dict], None]]:
    """Shows on stderr how far a proof is, so that stdout has the result alone.

    Gives the function that `verify.verify` tells its events to.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn())
    tasks: dict = {}
    with Progress(*columns, console=console, disable=not console.is_terminal or quiet) as bars:

        def tell(backend: str, event: dict) -> None:
            if event["event"] == "compiling":
                console.print(f"{backend}: {event['words']}", highlight=False)
                return
            title = f"{backend}, {event['title']}"
            if title not in tasks:
                tasks[title] = bars.add_task(title, total=steps)
            bars.update(tasks[title], completed=event["step"])
            if event["step"] == steps and not console.is_terminal:
                console.print(f"{title}: {steps} steps compared", highlight=False)

        yield tell
