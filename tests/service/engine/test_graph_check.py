"""The walk over an ONNX file: what our exporter writes passes, what must not run here is refused in a sentence.

DIGITS_MUTATIONS sets how many mutated files are tried, 3,000 by default; DIGITS_HOSTILE=1 tries every hostile file in
the process that tries versions out, too.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import onnx
import pytest
from onnx import helper

from service.engine import graph_check, validation
from service.engine.graph_check import check_graph
from service.engine.model import Model
from service.engine.operators import DOMAINS, EXPORTED, Operators
from service.errors import DigitsError, ModelBroken
from tests.support.hostile import EACH, HOSTILE, before_softmax, changed, initializers, loops
from tests.support.models import card_for, classifier, fails_when_run, publish_broken
from tests.support.server import ROOT

EXPORTER, EVERYTHING = Operators(), Operators(everything=True)
MUTATIONS = int(os.environ.get("DIGITS_MUTATIONS", "3000"))
BY_OPERATOR = ("giant shapes", "endless loop", "deep nesting")  # some of them pass where all operators are allowed


def rejection(data: bytes, operators: Operators = EXPORTER) -> str:
    with pytest.raises(ModelBroken) as caught:
        check_graph(data, operators)
    text = str(caught.value)
    assert re.fullmatch(r"The model file [^\n]{15,300}\.", text), text
    return text


def test_what_the_exporter_and_the_tests_write_passes() -> None:
    shipped = sorted((ROOT / "models").glob("*/*/model.onnx"))
    assert len(shipped) >= 2
    for data in [*(path.read_bytes() for path in shipped), classifier(), fails_when_run()]:
        check_graph(data, EXPORTER)


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_before_a_session_is_made(kind: str) -> None:
    assert len(set(HOSTILE[kind])) == EACH
    for data in HOSTILE[kind]:
        began = perf_counter()
        rejection(data)
        assert perf_counter() - began < 5


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind not in BY_OPERATOR])
def test_most_are_refused_whatever_operators_are_allowed(kind: str) -> None:
    for data in HOSTILE[kind]:
        rejection(data, EVERYTHING)


def test_the_sentence_says_what_to_do() -> None:
    assert "external data); publish it as one file" in rejection(HOSTILE["external data"][0])
    assert "the operator Loop, which DIGITS_ALLOWED_OPERATORS does not allow here" in rejection(loops())
    assert "defines functions of its own" in rejection(changed(lambda m: m.functions.add(name="Relu")), EVERYTHING)
    assert "instructions for training" in rejection(changed(lambda m: m.training_info.add()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.metadata_props.add(key="ort_config", value="{}"), "settings for ONNX Runtime"),
        (lambda m: m.graph.ClearField("name") or m.ClearField("graph"), "no graph"),
        (lambda m: m.graph.node[0].MergeFrom(onnx.NodeProto(name="x" * 1025)), "name is longer"),
        (lambda m: m.graph.output.append(helper.make_tensor_value_info("more", 1, [1] * 9)), "9 axes"),
        (lambda m: m.graph.value_info.append(helper.make_tensor_value_info("rows", 1, [2**40])), "too large"),
        (before_softmax(helper.make_node("MaxPool", ["logits"], ["changed"], kernel_shape=[2000])), "kernel_shape"),
        (before_softmax(helper.make_node("Pad", ["logits", "logits"], ["changed"])), "must be a constant"),
        (lambda m: m.graph.node.extend([m.graph.node[0]] * graph_check.MAX_NODES), "more than 10,000 nodes"),
    ],
)  # fmt: skip
def test_each_rule(change: object, words: str) -> None:
    assert words in rejection(changed(change))  # type: ignore[arg-type]


def test_a_pad_by_a_constant_passes() -> None:
    pad = helper.make_node("Pad", ["logits", "by"], ["changed"])
    check_graph(changed(initializers(by=[0, 0, 0, 0]), before_softmax(pad)), EXPORTER)


def test_a_file_over_the_limit_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_check, "MAX_MODEL_BYTES", 1000)
    assert "at most 1,000 are read" in rejection(classifier())


def test_a_file_of_many_fields_is_refused_soon() -> None:
    began = perf_counter()
    assert "more than 100,000 fields" in rejection(b"\x72\x00" * 10_000_000)
    assert perf_counter() - began < 5


def test_operators_can_be_added_by_name() -> None:
    check_graph(loops(), Operators.parse("Loop"))
    check_graph(loops(), Operators.parse("exporter, Loop,ai.onnx.ml:Scaler"))
    check_graph(loops(), Operators.parse("onnx"))
    assert Operators.parse("ai.onnx.ml:Scaler").allows("ai.onnx.ml", "Scaler")
    for operators in (EXPORTER, EVERYTHING, Operators.parse("Loop,ai.onnx.ml:Scaler")):
        assert operators.allows("", "Relu")
        assert not operators.allows("com.microsoft", "Relu")
    assert not EXPORTER.allows("ai.onnx.ml", "Scaler")


def test_the_exporters_operators_are_onnxs_own() -> None:
    schemas = {schema.name for schema in onnx.defs.get_all_schemas() if (schema.domain or "ai.onnx") in DOMAINS}
    assert schemas >= EXPORTED
    assert not EXPORTED & {"Loop", "If", "Scan", "SequenceMap", "Expand", "Tile", "ConstantOfShape", "Range", "Resize"}


def test_loading_refuses_before_onnx_runtime_sees_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The weights lie in a file in the working directory, where ONNX Runtime looks: the answer would be its bytes."""
    (tmp_path / "weights.bin").write_bytes(bytes(31360))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("onnxruntime.InferenceSession", None)
    with pytest.raises(ModelBroken, match="external data"):
        Model.load(HOSTILE["external data"][0], operators=EVERYTHING)


@pytest.mark.slow
def test_mutations_of_a_good_file_are_refused_or_behave_as_it_does() -> None:
    """In a process confined like the try-out. A mutant that ends its process would be refused there; none does."""
    command = [sys.executable, "-m", "tests.support.mutants", "0", str(MUTATIONS)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60 + MUTATIONS / 20)
    lines = [line.split() for line in ended.stdout.splitlines()]
    outcomes = Counter(line[1] for line in lines)
    assert (ended.returncode, len(lines)) == (0, MUTATIONS), (lines[-1:], ended.stderr)
    assert outcomes["other"] == 0
    assert outcomes["walk"] > MUTATIONS / 2
    assert outcomes["same"] > MUTATIONS / 50  # so that the comparison says something
    assert max(float(line[2]) for line in lines) < 5


def some(files: list[bytes]) -> list[bytes]:
    return files if os.environ.get("DIGITS_HOSTILE") else files[::9]


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
def test_no_hostile_file_passes_its_try_out(tmp_path: Path, kind: str) -> None:
    """With all operators allowed, and so beyond the walk: what hangs or grows does so in its own process, not long."""
    card = card_for(classifier())
    versions = [publish_broken(tmp_path, data, **card) for data in some(HOSTILE[kind])]

    async def checks() -> None:
        for pair in (versions[at : at + 2] for at in range(0, len(versions), 2)):
            await asyncio.gather(*map(one, pair))

    async def one(version: int) -> None:
        began = perf_counter()
        with pytest.raises(DigitsError):
            await validation.check(tmp_path, "digits", version, operators="onnx", timeout_s=4)
        assert perf_counter() - began < 8

    asyncio.run(checks())
    assert all(earlier < later for earlier, later in pairwise(versions))
