"""A measurement (`record.py` says what it holds) as tables, as Markdown and as a figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from matplotlib.figure import Figure

from lockstep.report.tables import Column, Table

from . import figures


def times(ratio: Mapping | None) -> str:
    """`2.61 (2.40 to 2.80)`: the median of the rounds' ratios, the lowest and the highest."""
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})" if ratio else ""


def percent(share: float) -> str:
    """`97.26 %`."""
    return f"{100 * share:.2f} %"


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
        words += f"; of {len(counts)} measurements {noisy} were disturbed"
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
    sizes, reference = record["settings"]["batch_sizes"], record["reference"]
    found: dict[str, dict[int, Mapping]] = {}
    for row in sorted(record["rows"], key=lambda r: (sizes.index(r["batch_size"]), r["median"])):
        found.setdefault(row["contender"], {})[row["batch_size"]] = row
    columns = [Column("contender")]
    for size in sizes:
        columns += [Column(f"batch {size}: s/epoch (from, to)"), Column(f"times {reference}")]
    columns += [Column(name) for name in ("test accuracy", "peak memory", "noisy rounds")]
    rows = []
    for name, at in found.items():
        cells: list[str | None] = [name]
        for size in sizes:
            row = at.get(size, {"ratio": None})
            spread = "{median:.3f} ({low:.3f}, {high:.3f})".format(**row) if size in at else None
            cells += [spread, times(row["ratio"]) if name != reference else ""]
        cells.append(", ".join(filter(None, (_accuracy(at[size]) for size in sizes if size in at))))
        cells.append(f"{max(row['peak_rss_bytes'] for row in at.values()) >> 20:,} MiB")
        turns = sum(turn["counts"] for row in at.values() for turn in row["turns"])
        cells.append(f"{sum(row['noisy'] for row in at.values())} of {turns}")
        rows.append(cells)
    table = Table("race", f"Whole epochs, the quickest at batch {sizes[0]} first", columns, rows)
    return [_bars(record), table] if record["bars"] else [table]


def _accuracy(row: Mapping) -> str | None:
    if row["accuracy"] is None:
        return None
    return percent(row["accuracy"]) + " (NOT EQUAL: it computes something else)" * row["unequal"]


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
    aim, bar = int(record["settings"]["percent"]), record["bar"]
    columns = [
        Column("backend"),
        Column("test accuracy, mean (lowest)"),
        Column(f"seeds at {aim} %"),
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
                f"{percent(sum(accuracies) / len(accuracies))} ({percent(min(accuracies))})",
                f"{sum(a >= aim / 100 for a in accuracies)} of {len(accuracies)}",
                _seconds(run["train_seconds"] for run in row["runs"]),
                _seconds(run["whole_seconds"] for run in row["runs"]),
                verdict,
            )
        )
    return [Table("target", f"{aim} % of the test set", columns, rows)]


def _seconds(values: Iterable[float]) -> str:
    ordered = sorted(values)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return f"{middle:.2f} s ({ordered[-1]:.2f})"
