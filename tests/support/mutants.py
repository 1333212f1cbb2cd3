"""Mutated model files, one after another, in a process as confined as the try-out: what becomes of each.

python -m tests.support.mutants FIRST COUNT
"""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np

from service.engine.graph_check import check_graph
from service.engine.model import Model
from service.engine.operators import Operators
from service.engine.sandbox import confine
from service.errors import ModelBroken
from tests.support.hostile import fuzzed
from tests.support.models import classifier, digits

PIXELS = digits(*range(10)).repeat(7, axis=0)


def outcome(data: bytes, expected: np.ndarray) -> str:  # type: ignore[type-arg]
    """Rejected by the walk, rejected when it was loaded or run, the same answers, or others."""
    try:
        check_graph(data, Operators())
    except ModelBroken:
        return "walk"
    try:
        model = Model.load(data)
        model.self_test(PIXELS[::7], expected[::7])
        return "same" if np.allclose(model.predict(PIXELS), expected, rtol=0, atol=1e-4) else "other"
    except ModelBroken:
        return "load"


def main() -> None:
    first, count = map(int, sys.argv[1:])
    expected = Model.load(classifier()).predict(PIXELS)
    fuzzed(0)
    confine(cpu_s=600)
    for seed in range(first, first + count):
        began = perf_counter()
        found = outcome(fuzzed(seed), expected)
        print(seed, found, perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
