"""The live models: the default one or a refusal to start, the others where they can, and every change in one step."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service import concurrency
from service.engine.engine import Engine
from service.errors import DigitsError, ModelBroken, NoSuchModel, ProviderUnavailable
from service.repository.repository import Repository
from service.settings import Settings
from service.telemetry.metrics import Meter
from tests.support.models import BROKEN, card_for, classifier, digits, publish, publish_broken


def engine(root: Path, **settings: Any) -> Engine:
    made = Engine(Settings(models_dir=root, **settings), Meter())
    made.start()
    return made


def spoil_card(root: Path, **changes: Any) -> None:
    path = root / "digits/1/card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_promoted_version_is_served(tmp_path: Path) -> None:
    for shift in (1, 2, 3):
        publish(tmp_path, shift, promote=shift == 2)
    live = engine(tmp_path)
    assert live.served().version == live.served("digits").version == 2
    assert live.names() == ["digits"]
    assert asyncio.run(live.served().predict(digits(0, 5))).argmax(axis=1).tolist() == [2, 7]
    live.close()


def test_every_model_that_can_be_served_is(tmp_path: Path) -> None:
    publish(tmp_path)
    publish(tmp_path, shift=1, name="letters")
    publish(tmp_path, name="resting", promote=False)
    publish_broken(tmp_path, b"no model", name="broken")
    live = engine(tmp_path)
    assert live.names() == ["digits", "letters"]
    with pytest.raises(NoSuchModel, match="digits, letters"):
        live.served("broken")
    assert asyncio.run(live.served("letters").predict(digits(1))).argmax() == 2
    live.close()


def test_another_default_model(tmp_path: Path) -> None:
    publish(tmp_path, name="letters", shift=4)
    live = engine(tmp_path, model="letters")
    assert live.served().name == "letters"
    live.close()


@pytest.mark.parametrize("name", ["digits", "../digits", "", "x" * 100, "digits\n"])
def test_no_default_model_is_no_start(tmp_path: Path, name: str) -> None:
    publish(tmp_path, name="other")
    with pytest.raises(NoSuchModel):
        engine(tmp_path, model=name)


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_default_model_is_no_start(tmp_path: Path, what: str) -> None:
    publish_broken(tmp_path, BROKEN[what], **card_for(classifier()))
    with pytest.raises(ModelBroken) as caught:
        engine(tmp_path)
    assert str(caught.value).endswith((".", "?"))


@pytest.mark.parametrize(
    "self_test",
    [
        None,
        [],
        "text",
        5,
        {},
        {"pixels": "", "probabilities": []},
        {"pixels": "%%%", "probabilities": [[1]]},
        {"pixels": base64.b64encode(bytes(783)).decode(), "probabilities": [[0.1] * 10]},
        {"pixels": base64.b64encode(bytes(784)).decode(), "probabilities": [[0.1] * 9]},
        {"pixels": base64.b64encode(bytes(784)).decode(), "probabilities": [[0.2] * 10]},
        {"pixels": base64.b64encode(bytes(784)).decode(), "probabilities": [[0.1], [0.1, 0.2]]},
        {"pixels": base64.b64encode(bytes(784)).decode(), "probabilities": "text"},
        {"pixels": base64.b64encode(bytes(784)).decode(), "probabilities": None},
        {"pixels": [1, 2], "probabilities": [[0.1] * 10]},
        {"pixels": "é", "probabilities": [[0.1] * 10]},
    ],
)
def test_a_self_test_that_fails_or_cannot_be_read_is_no_start(tmp_path: Path, self_test: Any) -> None:
    publish(tmp_path)
    spoil_card(tmp_path, self_test=self_test)
    with pytest.raises(ModelBroken):
        engine(tmp_path)


def test_the_self_test_of_another_model_is_no_start(tmp_path: Path) -> None:
    publish_broken(tmp_path, classifier(shift=1), **card_for(classifier(shift=2)))
    with pytest.raises(ModelBroken, match="self-test"):
        engine(tmp_path)


def test_cuda_where_there_is_none_is_no_start(tmp_path: Path) -> None:
    publish(tmp_path)
    with pytest.raises(ProviderUnavailable):
        engine(tmp_path, provider="cuda")


def test_a_version_can_be_loaded_without_being_served(tmp_path: Path) -> None:
    publish(tmp_path, shift=1)
    publish(tmp_path, shift=2, promote=False)
    live = engine(tmp_path)
    assert live.load("digits", 2).version == 2
    assert live.load("digits").version == 1
    assert live.served().version == 1
    for name, version in (("digits", 3), ("letters", 1), ("..", 1)):
        with pytest.raises(DigitsError):
            live.load(name, version)
    live.close()


def test_what_is_served_stays_when_its_files_go(tmp_path: Path) -> None:
    publish(tmp_path)
    live = engine(tmp_path)
    Repository(tmp_path).model_path("digits", 1).unlink()
    (tmp_path / "digits/current").unlink()
    assert asyncio.run(live.served().predict(digits(8))).argmax() == 8
    live.close()


def test_requests_in_flight_end_on_the_version_they_began_with(tmp_path: Path) -> None:
    publish(tmp_path, shift=1)
    publish(tmp_path, shift=2, promote=False)
    live = engine(tmp_path)

    async def swap_under_way() -> list[Any]:
        old, new = live.served(), live.load("digits", 2)
        flying = [asyncio.ensure_future(old.predict(digits(3).repeat(n, axis=0))) for n in (1, 5000, 3, 900)]
        await asyncio.sleep(0)
        live.swap(new)
        held = old.predict(digits(3).repeat(500, axis=0))  # whoever held it may not have asked yet
        answers = [*await asyncio.gather(*flying), await held]
        assert (await live.served().predict(digits(3))).argmax() == 5
        return answers

    answers = asyncio.run(swap_under_way())
    assert [len(answer) for answer in answers] == [1, 5000, 3, 900, 500]
    assert all((answer.argmax(axis=1) == 4).all() for answer in answers)
    assert live.admission.rows == 0
    live.close()


def test_all_models_share_one_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "MAX_WAITING", 0)
    publish(tmp_path)
    publish(tmp_path, name="letters")
    live = engine(tmp_path, max_queue_rows=1000)

    async def fill() -> None:
        big = asyncio.ensure_future(live.served().predict(np.zeros((900, 28, 28), np.uint8)))
        await asyncio.sleep(0)
        with pytest.raises(DigitsError, match="full"):
            await live.served("letters").predict(np.zeros((101, 28, 28), np.uint8))
        await big

    asyncio.run(fill())
    live.close()
