"""Messages over gRPC: every method, good messages with changes of their fields and of their bytes."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from service.openinference.grpc.messages import message, methods
from tests.fuzz.cases import ADMIN_KEY, PICTURES
from tests.fuzz.conftest import Case
from tests.fuzz.mutations import NUMBERS, changed
from tests.fuzz.table import Row
from tests.fuzz.target import Target
from tests.support.models import digits

CASES = 60
INFER_CASES = 1000
TEXTS = ["digits", "", "pixels", "image", "UINT8", "BYTES", "FP32", "probabilities", "1", "stable", "x" * 300, "é\0"]
INFER = ("ModelInfer", "ModelStreamInfer")


@pytest.mark.parametrize("method", [method.name for method in methods()])
def test_messages(fuzz: Callable[[str, int, Case], Row], target: Target, method: str) -> None:
    kind = next(one.input_type.name for one in methods() if one.name == method)

    def case(dice: Random) -> str:
        count = dice.choice((1, 1, 2, 5)) if method == "ModelStreamInfer" else 1
        metadata = [("x-api-key", dice.choice((ADMIN_KEY, ADMIN_KEY, "wrong key")))] if dice.random() < 0.9 else []
        return target.call(method, [data(dice, kind) for _ in range(count)], metadata)

    found = fuzz(f"gRPC: {method}", INFER_CASES if method in INFER else CASES, case)

    assert found.seen.total() == 1 or found.seen["2xx"], "good requests are needed"


def data(dice: Random, kind: str) -> bytes:
    made = message(kind)()
    if kind == "ModelInferRequest":
        infer(dice, made)
    elif dice.random() < 0.7:
        for field in made.DESCRIPTOR.fields:
            if field.name in ("name", "model_name"):
                setattr(made, field.name, "digits")
    for _ in range(dice.choice((0, 0, 1, 1, 2, 4))):
        set_any(dice, made)
    return changed(dice, made.SerializeToString(), dice.choice((0, 0, 0, 1, 2, 5)))


def infer(dice: Random, made: Any) -> None:
    """A good request: pixels as raw or as typed contents, or pictures."""
    made.model_name = "digits"
    match dice.randrange(3):
        case 0:
            made.inputs.add(name="pixels", datatype="UINT8", shape=[2, 784])
            made.raw_input_contents.append(digits(1, 2).tobytes())
        case 1:
            one = made.inputs.add(name="pixels", datatype="UINT8", shape=[1, 28, 28])
            one.contents.uint_contents.extend(digits(3).ravel().tolist())
        case _:
            one = made.inputs.add(name="image", datatype="BYTES", shape=[1])
            one.contents.bytes_contents.append(changed(dice, PICTURES[0], dice.choice((0, 1, 3))))


def set_any(dice: Random, made: Any) -> None:
    """Any field, at any depth, becomes something else."""
    fields = list(made.DESCRIPTOR.fields)
    if not fields:
        return
    field = dice.choice(fields)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry = getattr(made, field.name)[dice.choice(TEXTS)]
        if hasattr(entry, "DESCRIPTOR"):
            set_any(dice, entry)
    elif field.message_type is not None:
        inner = getattr(made, field.name)
        if not field.is_repeated:
            set_any(dice, inner)
        else:
            set_any(dice, dice.choice(list(inner)) if inner and dice.random() < 0.7 else inner.add())
    elif field.is_repeated:
        getattr(made, field.name).extend(value(dice, field) for _ in range(dice.choice((1, 1, 3, 800))))
    else:
        setattr(made, field.name, value(dice, field))


def value(dice: Random, field: Any) -> Any:
    kind = field.cpp_type
    if kind == field.CPPTYPE_STRING:
        text = dice.choice(TEXTS)
        return text.encode() if field.type == field.TYPE_BYTES else text
    if kind == field.CPPTYPE_BOOL:
        return dice.random() < 0.5
    if kind in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
        return float(dice.choice((0, 1, -1, 255, 256, float("nan"), float("inf"), 1e30)))
    if kind == field.CPPTYPE_ENUM:
        return dice.choice(list(field.enum_type.values_by_number))
    top = {field.CPPTYPE_INT32: 2**31, field.CPPTYPE_UINT32: 2**32, field.CPPTYPE_INT64: 2**63}.get(kind, 2**64)
    signed = kind in (field.CPPTYPE_INT32, field.CPPTYPE_INT64)
    return dice.choice([number for number in NUMBERS if (signed or number >= 0) and number < top])
