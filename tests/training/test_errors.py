"""Errors of others become one sentence; a missing module of our own is not hidden."""

import pytest

from training.errors import missing, one_line


def test_the_first_line_of_an_error_is_kept_and_ends_in_a_full_stop() -> None:
    assert one_line(ValueError("No such layer.\nTraceback follows")) == "No such layer."
    assert one_line(ValueError("no full stop")) == "no full stop."
    assert one_line(ValueError()) == "ValueError."


def test_of_an_error_inside_tf_function_the_last_line_is_kept() -> None:
    error = TypeError('in user code:\n\n    File "graph.py", line 3\n    TypeError: expected a Dense layer.\n')
    assert one_line(error) == "TypeError: expected a Dense layer."


def test_a_missing_package_is_named_with_what_to_install() -> None:
    assert "(no keras): run `make train`" in missing(ModuleNotFoundError(name="keras.src"))


def test_a_missing_module_of_our_own_is_raised_again() -> None:
    with pytest.raises(ModuleNotFoundError):
        missing(ModuleNotFoundError(name="training.gone"))
