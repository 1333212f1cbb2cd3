"""Any number of digits gives the same probabilities as one call of the model would."""

import numpy as np
import pytest

from service.engine.model import Model
from service.repository.repository import Repository
from training.data.digits import LabelledDigits
from training.predict import predict


@pytest.mark.parametrize("count", [0, 1, 500, 1001])
def test_batches_do_not_show(count: int, published: Repository, handwriting: LabelledDigits) -> None:
    model = Model.load(published.model_path("digits", 1))
    found = predict(model, handwriting.pixels[:count])
    assert (found.shape, found.dtype) == ((count, 10), np.float32)
    if count:
        np.testing.assert_allclose(found, model.predict(handwriting.pixels[:count]), atol=1e-6)
