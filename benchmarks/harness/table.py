"""Results as a Markdown page: figures, what was left out, and which measurements are invalid."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from benchmarks.harness import contenders, workloads
from benchmarks.harness.results import Results

Row = list[str]
RATE = "requests_per_second"


def report(results: Results) -> str:
    """The whole page."""
    parts = [
        f"# Benchmark of {results.settings['date']}",
        _machine(results),
        "## One digit per request, 64 connections",
        _headline(results),
        *(["## Many digits per request", _many(results)] if results.in_process else []),
        "## Start and memory",
        _facts(results),
        "## Every measurement",
        _everything(results),
        _left_out(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _machine(results: Results) -> str:
    machine, settings = results.machine, results.settings
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, Linux {machine['kernel']}. "
        f"Server on core {settings['server_core']}, {machine['load']} on core {settings['load_core']}. "
        f"{machine['service']}. Model: {settings['model']}. Medians over {settings['rounds']} interleaved rounds of "
        f"{settings['seconds']} s per measurement; ratios are taken within each round. "
        f"Load average before the run: {machine['load_average_before']:.2f}.\n\n"
        f"How to read this: `benchmarks/README.md`. Made by `python -m benchmarks {' '.join(settings['arguments'])}`."
    )


def _headline(results: Results) -> str:
    rows = []
    for contender in contenders.ALL:
        row = [contender.label]
        for key in ("json", "png", "raw"):
            rate = results.median(contender.key, key, 64, RATE)
            share = results.ratio((contender.key, key, 64), ("ceiling", key, 64), RATE)
            latency = _latency(results, contender.key, key, 64)
            row += [_number(rate), _number(share, 3), latency]
        rows.append(row)
    titles = [f"{kind} {what}" for kind in ("JSON", "PNG", "raw") for what in ("req/s", "of ceiling", "p50 / p99 ms")]
    return _table(["", *titles], [row for row in rows if any(cell != "–" for cell in row[1:])])


def _many(results: Results) -> str:
    rows = []
    for key, workload, connections in results.cells():
        if workloads.BY_KEY[workload].kind == "bulk" and (cell := results.of(key, workload, connections)):
            rate = results.median(key, workload, connections, RATE) or 0
            share = results.of_in_process(key, workload, connections)
            row = [contenders.BY_KEY[key].label, f"{cell[0].digits:,}", cell[0].form, str(connections)]
            rows.append(
                [*row, _number(rate * cell[0].digits), _number(share, 3), _latency(results, key, workload, connections)]
            )
    alone = median(found["digits_per_second"] for found in results.in_process)
    batches = ", ".join(sorted({f"{found['best_batch']:,}" for found in results.in_process}))
    rows.append(["onnxruntime in-process, one thread", f"best: {batches}", "–", "–", _number(alone), "1", "–"])
    return _table(["", "digits per request", "form", "connections", "digits/s", "of in-process", "p50 / p99 ms"], rows)


def _facts(results: Results) -> str:
    rows = []
    for key in results.facts:
        facts = [results.fact(key, name) for name in ("memory_ready_mb", "memory_mb", "memory_end_mb")]
        idle = results.fact(key, "idle_cpu") or 0
        row = [contenders.BY_KEY[key].label, results.versions.get(key, "?"), _number(results.fact(key, "ready_s"), 2)]
        rows.append([*row, *map(_number, facts), f"{idle:.0%}"])
    titles = [
        "",
        "version",
        "first right answer after (s)",
        "MB when ready",
        "MB after one-digit load",
        "MB at the end",
    ]
    return _table([*titles, "core used while idle"], rows)


def _everything(results: Results) -> str:
    rows = []
    for key, workload, connections in results.cells():
        if cell := results.of(key, workload, connections):
            rate = results.median(key, workload, connections, RATE)
            share = results.ratio((key, workload, connections), ("ceiling", workload, connections), RATE)
            name = [workloads.BY_KEY[workload].title, str(connections), contenders.BY_KEY[key].label, cell[0].form]
            cpu = results.median(key, workload, connections, "cpu_ms")
            last = [_number(share, 3), _latency(results, key, workload, connections), _number(cpu, 3)]
            rows.append([*name, _number(rate, 1), *last])
    rows.sort(key=lambda row: ([w.title for w in workloads.WORKLOADS].index(row[0]), int(row[1])))
    return _table(["", "connections", "", "form", "req/s", "of ceiling", "p50 / p99 ms", "server CPU ms/req"], rows)


def _left_out(results: Results) -> str:
    lines = [f"- {key}: {why}" for key, why in results.left_out.items()]
    lines += [
        f"- {m.contender}, {m.workload} over {m.connections} connections, round {m.round}: invalid, "
        f"{m.errors or 'no request finished'}"
        for m in results.invalid()
    ]
    return "\n".join(["## Left out or invalid\n", *lines]) if lines else ""


def _latency(results: Results, key: str, workload: str, connections: int) -> str:
    p50, p99 = (results.median(key, workload, connections, what) for what in ("p50_ms", "p99_ms"))
    return "–" if p50 is None or p99 is None else f"{p50:,.2f} / {p99:,.2f}"


def _number(value: float | None, decimals: int = 0) -> str:
    return "–" if value is None else f"{value:,.{decimals}f}"


def _table(titles: Row, rows: Iterable[Row]) -> str:
    line = "|".join([" --- ", *[" ---: "] * (len(titles) - 1)])
    return "\n".join([f"| {' | '.join(titles)} |", f"|{line}|", *(f"| {' | '.join(row)} |" for row in rows)])
