"""The chart for the README: requests per second and latency, one digit as JSON over 64 connections."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.harness import contenders
from benchmarks.harness.results import Results

US, CEILING, PEER, INK, MUTED = "#2563eb", "#cbd5e1", "#94a3b8", "#1e293b", "#64748b"
CASE = ("json", 64)


def draw(results: Results, path: Path) -> None:
    """Write the chart of the contenders that were measured; no file where none was."""
    keys = [c.key for c in contenders.ALL if results.of(c.key, *CASE)]
    if not keys:
        return
    keys.sort(key=lambda key: results.median(key, *CASE, "requests_per_second") or 0)
    plt.rcParams |= {"font.family": "DejaVu Sans", "text.color": INK, "axes.labelcolor": MUTED}
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 0.42 * len(keys) + 1.7), sharey=True, layout="constrained")
    _bars(left, keys, results, "requests_per_second", "{:,.0f}", "Requests per second (more is better)")
    _bars(right, keys, results, "p50_ms", "{:,.1f} ms", "Latency: median, with a line to p99 (less is better)")
    _tails(right, keys, results)
    left.set_yticks(range(len(keys)), [contenders.BY_KEY[key].label for key in keys])
    for label, key in zip(left.get_yticklabels(), keys, strict=True):
        label.set_color(US if key == "us" else INK)
        label.set_fontweight("bold" if key == "us" else "normal")
    figure.suptitle("One digit as JSON, 64 connections, one server core, the same ONNX model", fontweight="bold")
    figure.supxlabel(_caption(results), fontsize=8, color=MUTED)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160, metadata={"Software": None})
    plt.close(figure)


def _bars(axes: Axes, keys: list[str], results: Results, what: str, style: str, title: str) -> None:
    values = [results.median(key, *CASE, what) or 0 for key in keys]
    colours = [{"us": US, "ceiling": CEILING}.get(key, PEER) for key in keys]
    bars = axes.barh(range(len(keys)), values, color=colours, height=0.68)
    if what == "requests_per_second":
        axes.bar_label(bars, [style.format(value) for value in values], padding=4, fontsize=9, color=INK)
    axes.set_title(title, fontsize=10, loc="left", color=MUTED)
    axes.set_xlim(0, max(values) * 1.16)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(left=False, labelsize=9, colors=MUTED)
    axes.xaxis.grid(True, color="#e2e8f0", linewidth=0.8)
    axes.set_axisbelow(True)


def _tails(axes: Axes, keys: list[str], results: Results) -> None:
    widest = max(results.median(key, *CASE, "p50_ms") or 0 for key in keys) * 2.2
    for place, key in enumerate(keys):
        p50, p99 = (results.median(key, *CASE, what) or 0 for what in ("p50_ms", "p99_ms"))
        axes.plot([p50, min(p99, widest)], [place, place], color=INK, linewidth=1.2, solid_capstyle="butt")
        beyond = " →" if p99 > widest else ""
        axes.annotate(
            f"{p50:,.1f} / {p99:,.0f} ms{beyond}", (min(max(p50, p99), widest), place),
            xytext=(4, 0), textcoords="offset points", va="center", fontsize=9, color=INK,
        )  # fmt: skip
    axes.set_xlim(0, widest * 1.3)


def _caption(results: Results) -> str:
    machine, settings = results.machine, results.settings
    return (
        f"{machine['cpu']}, {machine['cores']} cores; {machine['load']}; interleaved rounds: {settings['rounds']}; "
        f"{settings['date']}; python -m benchmarks"
    )
