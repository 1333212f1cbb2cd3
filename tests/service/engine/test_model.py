"""One ONNX session: what is a digit classifier is loaded and answers, what is none is refused in a sentence."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from service.engine.model import Model
from service.engine.session import choose_provider
from service.errors import ModelBroken, ProviderUnavailable
from tests.support.models import BROKEN, classifier, digits


def sentence(error: BaseException) -> str:
    text = str(error)
    assert re.fullmatch(r"[^\n]{15,300}[.?]", text), text
    assert not re.search(r"/\w+/|Traceback|onnxruntime::|0x", text), text
    return text


def with_second_input() -> bytes:
    model = onnx.load_from_string(classifier())
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_digit_classifier_is_refused(what: str) -> None:
    with pytest.raises(ModelBroken) as caught:
        Model.load(BROKEN[what])
    sentence(caught.value)


def test_a_second_input_is_refused() -> None:
    with pytest.raises(ModelBroken, match="one input"):
        Model.load(with_second_input())


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.onnx", tmp_path):
        with pytest.raises(ModelBroken) as caught:
            Model.load(path)
        sentence(caught.value)


def test_a_file_and_its_bytes_are_the_same_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(classifier(3))
    pixels = digits(1, 2, 3)
    assert np.array_equal(Model.load(path).predict(pixels), Model.load(classifier(3)).predict(pixels))


@pytest.mark.parametrize("count", [0, 1, 2, 31, 33, 1000])
def test_predict(count: int) -> None:
    values = np.random.default_rng(0).integers(0, 10, count)
    pixels = digits(*values) if count else np.zeros((0, 28, 28), np.uint8)
    model = Model.load(classifier(shift=2))
    for form in (pixels, pixels[..., None], np.asfortranarray(pixels), pixels[::-1][::-1]):
        found = model.predict(form)
        assert found.shape == (count, 10)
        assert found.dtype == np.float32
        assert np.array_equal(found.argmax(axis=1), (values + 2) % 10)
        assert np.allclose(found.sum(axis=1), 1)


def test_predict_takes_what_may_not_be_written_to() -> None:
    pixels = np.frombuffer(digits(4, 5).tobytes(), np.uint8).reshape(-1, 28, 28)
    assert Model.load(classifier()).predict(pixels).argmax(axis=1).tolist() == [4, 5]


@pytest.mark.parametrize("count", [1, 3, 200])
def test_bound_inputs_and_outputs_as_on_a_gpu(count: int) -> None:
    """The way that CUDA takes, on the CPU: ONNX Runtime's binding is the same for both."""
    model, pixels = Model.load(classifier(shift=2)), digits(*range(10)).repeat(20, axis=0)[:count]
    for form in (pixels, np.frombuffer(pixels.tobytes(), np.uint8).reshape(-1, 28, 28), np.asfortranarray(pixels)):
        (found,) = model._run_bound(["probabilities"], form)
        assert np.array_equal(found, model.predict(form))


def test_many_threads_at_once() -> None:
    model = Model.load(classifier())

    def ask(value: int) -> bool:
        return bool((model.predict(digits(value).repeat(200, axis=0)).argmax(axis=1) == value).all())

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, [i % 10 for i in range(100)]))


def test_what_a_model_says_of_itself() -> None:
    model = Model.load(classifier())
    assert model.summary() == "brightest of ten"
    assert model.classes() == [str(i) for i in range(10)]
    assert model.metadata["architecture"] == "brightest"
    assert model.signature() == {
        "inputs": [{"name": "pixels", "type": "tensor(uint8)", "shape": [-1, 28, 28, 1]}],
        "outputs": [{"name": "probabilities", "type": "tensor(float)", "shape": [-1, 10]}],
    }


def test_the_lectures_output_is_there_or_said_not_to_be() -> None:
    model = Model.load(classifier())
    assert not model.has_lecture_output
    with pytest.raises(ModelBroken, match="lecture_output"):
        model.lecture_output(digits(1))


def test_self_test() -> None:
    model = Model.load(classifier())
    pixels = digits(1, 2)
    right = model.predict(pixels)
    model.self_test(pixels, right)
    model.self_test(pixels, right + np.float32(0.00005))
    for wrong in (right + np.float32(0.001), right[:1], right[:, :9], right[::-1], np.full_like(right, np.nan)):
        with pytest.raises(ModelBroken) as caught:
            model.self_test(pixels, wrong)
        sentence(caught.value)


def test_providers_on_a_machine_without_cuda() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("CUDA may work here")
    data = classifier()
    assert choose_provider("auto", data) == choose_provider("cpu", data) == "cpu"
    assert Model.load(data, "auto").provider == "cpu"
    with pytest.raises(ProviderUnavailable, match="onnxruntime-gpu") as caught:
        Model.load(data, "cuda")
    sentence(caught.value)
    assert "driver" in str(caught.value)


def test_a_refusal_says_what_was_found_and_what_is_wanted() -> None:
    for what, words in {
        "input of floats": ["pixels", "tensor(uint8)", "tensor(float)"],
        "input of 32x32": ["28", "32"],
        "output of another name": ["probabilities", "scores"],
        "logits": ["sum to 1"],
    }.items():
        with pytest.raises(ModelBroken) as caught:
            Model.load(BROKEN[what])
        assert all(word in str(caught.value) for word in words), str(caught.value)
