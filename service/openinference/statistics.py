"""Counts and durations in the form of Triton's statistics extension, summed over all workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from service.context import Context
from service.engine.resolve import answering, resolve_version
from service.engine.version import LoadedVersion
from service.telemetry.statistics import (
    BATCH_INFER_NS,
    BATCH_INPUT_NS,
    BATCH_OUTPUT_NS,
    COUNT,
    FAIL,
    FAIL_NS,
    INFER_NS,
    INPUT_NS,
    LAST_MS,
    OUTPUT_NS,
    QUEUE_NS,
    SUCCESS,
    SUCCESS_NS,
    Counts,
)


async def statistics(context: Context, model: str = "", version: str = "") -> dict[str, Any]:
    """Statistics of one version, of all served versions of a model, or of all models, up to the answer sent last.

    Raises:
        NoSuchModel: there is none of that name and version.
    """
    engine = context.engine
    versions: Iterable[LoadedVersion]
    if version:
        versions = [resolve_version(engine, model, version)]
    elif model:
        versions = answering(engine, model).values()
    else:
        versions = [served for name in engine.names() for served in answering(engine, name).values()]
    await context.scoreboard.refresh()
    snapshots = [state["numbers"]["statistics"] for state in context.scoreboard.all()]
    return {"model_stats": [as_triton(served.name, served.version, snapshots) for served in versions]}


def as_triton(name: str, version: int, snapshots: Iterable[dict[str, Counts]]) -> dict[str, Any]:
    """The statistics of one version, summed over the snapshots of several workers."""
    requests, batches = _sum(f"{name} {version}", list(snapshots))
    answered = requests[SUCCESS]
    return {
        "name": name,
        "version": str(version),
        "last_inference": requests[LAST_MS],
        "inference_count": sum(rows * batch[COUNT] for rows, batch in batches.items()),
        "execution_count": sum(batch[COUNT] for batch in batches.values()),
        "inference_stats": {
            "success": _duration(answered, requests[SUCCESS_NS]),
            "fail": _duration(requests[FAIL], requests[FAIL_NS]),
            "queue": _duration(answered, requests[QUEUE_NS]),
            "compute_input": _duration(answered, requests[INPUT_NS]),
            "compute_infer": _duration(answered, requests[INFER_NS]),
            "compute_output": _duration(answered, requests[OUTPUT_NS]),
            "cache_hit": _duration(0, 0),
            "cache_miss": _duration(0, 0),
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": rows,
                "compute_input": _duration(batch[COUNT], batch[BATCH_INPUT_NS]),
                "compute_infer": _duration(batch[COUNT], batch[BATCH_INFER_NS]),
                "compute_output": _duration(batch[COUNT], batch[BATCH_OUTPUT_NS]),
            }
            for rows, batch in sorted(batches.items())
        ],
        "memory_usage": [],
    }


def _sum(model: str, snapshots: list[dict[str, Counts]]) -> tuple[list[int], dict[int, list[int]]]:
    requests = [snapshot["requests"].get(model, [0] * 9) for snapshot in snapshots]
    total = [sum(column) for column in zip(*requests, strict=True)]
    total[LAST_MS] = max(numbers[LAST_MS] for numbers in requests)
    batches: dict[int, list[int]] = {}
    for snapshot in snapshots:
        for key, numbers in snapshot["batches"].items():
            owner, _, rows = key.rpartition(" ")
            if owner == model:
                so_far = batches.get(int(rows), [0] * 4)
                batches[int(rows)] = [a + b for a, b in zip(so_far, numbers, strict=True)]
    return total, batches


def _duration(count: int, nanoseconds: int) -> dict[str, int]:
    return {"count": count, "ns": nanoseconds}
