"""Seconds per epoch of MNIST, side by side: `python benchmarks/epochs.py --out epochs.json`.

Every contender lives in a process of its own and trains when it is told to, one at a time, in
rounds: what disturbs the machine disturbs a round and not one contender. A measurement during which
other programs used more than a tenth of a core is made again, and counted; where the machine never
is quiet enough, the quietest attempt is kept and marked. Only training is timed: no import, no
compilation, no evaluation.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

BATCH_SIZES = (32, 128)
REFERENCE = "JAX, lax.scan over the epoch"
QUIET = 0.1
"""Cores that other programs may use during a measurement."""


def serve(name: str, batch_size: int) -> None:
    """A contender's process: for every line on stdin, an epoch; answers {"seconds", "cpu"}."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from contenders import CONTENDERS

    from lockstep import datasets

    train = datasets.load("mnist", download=False).train
    epoch = CONTENDERS[name](batch_size, datasets.scale(train.images), train.labels)
    epoch(1)
    for seed, _ in enumerate(sys.stdin, start=2):
        start, cpu = time.perf_counter(), time.process_time()
        epoch(seed)
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "cpu": time.process_time() - cpu}), file=answers)
        answers.flush()


class Contender:
    """The process that trains one contender at one batch size."""

    def __init__(self, name: str, batch_size: int) -> None:
        self.name, self.batch_size = name, batch_size
        self.seconds: list[float] = []
        self.others: list[float] = []
        self.repeated = 0
        command = [sys.executable, __file__, "--serve", name, "--batch-size", str(batch_size)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(
            command, **pipes, stderr=subprocess.DEVNULL, text=True, bufsize=1
        )
        self.epoch()  # the second: the first compiles

    def epoch(self) -> tuple[float, float]:
        """Seconds of one epoch, and how many cores other programs used meanwhile."""
        busy = busy_seconds()
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("go\n")
        found = json.loads(self.process.stdout.readline())
        others = (busy_seconds() - busy - found["cpu"]) / found["seconds"]
        return found["seconds"], max(0.0, others)

    def measure(self, tries: int) -> None:
        """One round: the first quiet epoch, or else the quietest."""
        attempts = []
        for _ in range(tries):
            attempts.append(self.epoch())
            if attempts[-1][1] <= QUIET:
                break
        self.repeated += len(attempts) - 1
        seconds, others = min(attempts, key=lambda attempt: attempt[1])
        self.seconds.append(seconds)
        self.others.append(others)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def busy_seconds() -> float:
    """Seconds that all cores together have worked, for anybody (Linux)."""
    user, nice, system, _, _, irq, soft, steal = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def race(names: list[str], batch_size: int, rounds: int, tries: int) -> list[dict]:
    """All contenders at one batch size."""
    runners = [Contender(name, batch_size) for name in names]
    for _ in range(rounds):
        for runner in runners:
            runner.measure(tries)
    for runner in runners:
        runner.close()
    reference = next((r.seconds for r in runners if r.name == REFERENCE), None)
    return [summary(runner, reference) for runner in runners]


def summary(runner: Contender, reference: list[float] | None) -> dict:
    """The median with its range; and, round by round, how many times faster than the reference."""
    found: dict = {
        "contender": runner.name,
        "batch_size": runner.batch_size,
        "median": statistics.median(runner.seconds),
        "seconds": runner.seconds,
        "other_cores": runner.others,
        "noisy": sum(others > QUIET for others in runner.others),
        "repeated": runner.repeated,
    }
    if reference:
        ratios = [ours / mine for ours, mine in zip(reference, runner.seconds, strict=True)]
        found |= {"ratio": statistics.median(ratios), "ratios": [min(ratios), max(ratios)]}
    return found


def show(rows: list[dict], rounds: int) -> None:
    """The table, in Markdown."""
    print(f"\n| batch {rows[0]['batch_size']} | s/epoch | from, to | × JAX's scan | noisy rounds |")
    print("|---|---|---|---|---|")
    for row in rows:
        spread = f"{min(row['seconds']):.3f}, {max(row['seconds']):.3f}"
        times = (
            "{:.2f} ({:.2f} to {:.2f})".format(row["ratio"], *row["ratios"])
            if "ratio" in row
            else ""
        )
        noisy = f"{row['noisy']} of {rounds}"
        print(f"| {row['contender']} | {row['median']:.3f} | {spread} | {times} | {noisy} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tries", type=int, default=4, help="for a quiet measurement")
    parser.add_argument("--only", help="contenders whose names hold one of these, with commas")
    parser.add_argument("--out", type=Path, help="write the measurements as JSON")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.batch_size)
        return
    from contenders import CONTENDERS

    from lockstep import results

    wanted = options.only.split(",") if options.only else [""]
    names = [name for name in CONTENDERS if any(part in name for part in wanted)]
    load, rows = os.getloadavg(), []
    for batch_size in BATCH_SIZES:
        found = race(names, batch_size, options.rounds, options.tries)
        show(found, options.rounds)
        rows += found
    about = {"load_before": load, "load_after": os.getloadavg(), **results.environment()}
    print(f"\nload before {load[0]:.1f}, after {os.getloadavg()[0]:.1f}")
    if options.out:
        options.out.write_text(json.dumps({"environment": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
