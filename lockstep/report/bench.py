"""What `lockstep bench` has measured (`bench/record.py`), as tables and as a figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from matplotlib.figure import Figure

from . import figures
from .table import Column, Table


def times(ratio: Mapping | None) -> str:
    """`2.61 (2.40 to 2.80)`: the median of the rounds' ratios, the lowest and the highest."""
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})" if ratio else ""


def tables(record: Mapping) -> list[Table]:
    """The tables of one measurement, in the order in which they are read."""
    return {"race": _race, "growth": _growth, "target": _target}[record["kind"]](record)


def figure(record: Mapping) -> Figure:
    """Its figure."""
    draw = {"race": figures.race, "growth": figures.growth, "target": figures.target}
    return draw[record["kind"]](record)


def markdown(record: Mapping) -> str:
    """All tables, who is missing, and what a reader has to know to believe them."""
    parts = [f"**{table.title}**\n\n{table.markdown()}" for table in tables(record)]
    parts += [f"**Absent:** {name} ({why})." for name, why in record["absent"].items()]
    parts += [f"**Failed:** {name}: {why}." for name, why in record["failures"].items()]
    return "\n\n".join([*parts, circumstances(record)]) + "\n"


def circumstances(record: Mapping) -> str:
    """Where, when, with what, and how busy the machine was, in one paragraph."""
    machine, load = record["environment"], record["load"]
    words = f"`{record['command']}`, {record['created'][:10]}, {record['dataset']['title']}, "
    words += f"{machine['cores']} cores of {machine['processor'] or machine['machine']}"
    if load["before"]:
        words += f", load {load['before'][0]:.1f} before and {load['after'][0]:.1f} after"
    turns = [turn for row in record["rows"] for turn in row.get("turns", [])]
    if not load["watched"]:
        words += "; nobody watched what other programs did"
    elif turns:
        counts = [turn for turn in turns if turn["counts"]]
        noisy = sum(turn["noisy"] for turn in counts)
        words += f"; of {len(counts)} measurements {noisy} were disturbed by other programs"
        words += f", {len(turns) - len(counts)} were repeated for that"
    return f"{words}."


def versions(record: Mapping) -> str:
    """The versions that a reader asks for first."""
    found: dict[str, str] = {}
    for row in record["rows"]:
        found |= row.get("versions", {})
    wanted = ("numpy", "numba", "torch", "tensorflow", "keras", "jax", "sklearn", "tinygrad")
    return ", ".join(f"{name} {found[name]}" for name in wanted if name in found)


def _race(record: Mapping) -> list[Table]:
    found = [_bars(record)] if record["bars"] else []
    for size in record["settings"]["batch_sizes"]:
        rows = [row for row in record["rows"] if row["batch_size"] == size]
        rows.sort(key=lambda row: row["median"])
        columns = [
            Column("contender"),
            Column("s/epoch", "{:.3f}".format),
            Column("from, to"),
            Column(f"times the speed of {record['reference']}"),
            Column("test accuracy"),
            Column("peak memory (MiB)", "{:,}".format),
            Column("noisy rounds"),
        ]
        cells = [
            (
                row["contender"],
                row["median"],
                f"{row['low']:.3f}, {row['high']:.3f}",
                times(row["ratio"]),
                _accuracy(row),
                row["peak_rss_bytes"] >> 20,
                f"{row['noisy']} of {sum(turn['counts'] for turn in row['turns'])}",
            )
            for row in rows
        ]
        found.append(Table(f"race-{size}", f"Batch {size}", columns, cells))
    return found


def _accuracy(row: Mapping) -> str | None:
    if row["accuracy"] is None:
        return None
    return f"{row['accuracy']:.2%}" + " – NOT EQUAL: it computes something else" * row["unequal"]


def _bars(record: Mapping) -> Table:
    sizes = record["settings"]["batch_sizes"]
    found: dict[tuple[str, str], dict[int, Mapping]] = {}
    for bar in record["bars"]:
        found.setdefault((bar["ours"], bar["against"]), {})[bar["batch_size"]] = bar
    columns = [Column("trainer"), Column("times the speed of")]
    for size in sizes:
        columns += [Column(f"batch {size}"), Column("bar")]
    rows = []
    for pair, at in found.items():
        cells = [cell for size in sizes for cell in _reached(at.get(size), "≥")]
        rows.append((*pair, *cells))
    return Table("bars", "How many times faster, round by round", columns, rows)


def _reached(bar: Mapping | None, sign: str) -> tuple[str, str]:
    if bar is None:
        return "", ""
    verdict = "reached" if bar["reached"] else "not reached"
    return times(bar["ratio"]), f"{sign} {bar['bar']:g}, {verdict}"


def _growth(record: Mapping) -> list[Table]:
    columns = [
        Column("hidden units", "{:,}".format),
        Column("batch"),
        Column("trainer"),
        Column("µs per image", "{:.1f}".format),
        Column("floor (µs)", "{:.1f}".format),
        Column("times the floor"),
        Column("bar"),
    ]
    rows = [
        (b["hidden"], b["batch_size"], b["contender"], b["took"], b["floor"], *_reached(b, "≤"))
        for b in record["wide"]
    ]
    return [Table("wide", "Wide networks beside the floor", columns, rows)]


def _target(record: Mapping) -> list[Table]:
    percent, bar = int(record["settings"]["percent"]), record["bar"]
    columns = [
        Column("backend"),
        Column("test accuracy, mean (lowest)"),
        Column(f"seeds at {percent} %"),
        Column("training, median (longest)"),
        Column("whole process, median (longest)"),
        Column("bar"),
    ]
    rows = []
    for row in record["rows"]:
        accuracies = [run["test_accuracy"] for run in row["runs"]]
        verdict = None
        if row["backend"] == bar["backend"]:
            verdict = f"≤ {bar['seconds']:g} s, every seed: "
            verdict += "reached" if bar["reached"] else "not reached"
        rows.append(
            (
                row["backend"],
                f"{sum(accuracies) / len(accuracies):.2%} ({min(accuracies):.2%})",
                f"{sum(a >= percent / 100 for a in accuracies)} of {len(accuracies)}",
                _seconds(run["train_seconds"] for run in row["runs"]),
                _seconds(run["whole_seconds"] for run in row["runs"]),
                verdict,
            )
        )
    return [Table("target", f"{percent} % of the test set", columns, rows)]


def _seconds(values: Iterable[float]) -> str:
    ordered = sorted(values)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return f"{middle:.2f} s ({ordered[-1]:.2f})"
