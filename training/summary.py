"""The table of layers as the lecture prints it: layer, options, output shape, parameters (docs/lecture)."""

from typing import Any

import keras

ACTIVATIONS = {"relu": "ReLU", "softmax": "softmax", "tanh": "tanh", "sigmoid": "sigmoid"}

Row = dict[str, Any]


def rows(model: keras.Model) -> list[Row]:
    """One dict per layer: {"layer", "options", "output_shape", "params"}, shapes as text like "(None, 28, 28, 8)"."""
    return [
        {
            "layer": type(layer).__name__,
            "options": options(layer),
            "output_shape": str(tuple(layer.output.shape)),
            "params": layer.count_params(),
        }
        for layer in model.layers
    ]


def options(layer: keras.layers.Layer) -> str:
    """A layer's settings in the lecture's words; empty for a kind of layer that the lecture does not use."""
    match layer:
        case keras.layers.Conv2D():
            return f"{layer.filters} filters {_size(layer.kernel_size)}, {layer.padding}{_activation(layer)}"
        case keras.layers.MaxPooling2D():
            return f"{_size(layer.pool_size)}, stride {layer.strides[0]}"
        case keras.layers.Dense():
            return f"{layer.units}{_activation(layer)}"
        case keras.layers.Dropout():
            return f"{layer.rate:g}"
        case keras.layers.Reshape():
            return str(tuple(layer.target_shape))
        case _:
            return ""


def table(name: str, layers: list[Row]) -> str:
    """The rows as plain text with aligned columns, and the total below."""
    header = ("layer", "options", "output shape", "params")
    cells = [header, *((row["layer"], row["options"], row["output_shape"], f"{row['params']:,}") for row in layers)]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    lines = ["  ".join([*(row[i].ljust(widths[i]) for i in range(3)), row[3].rjust(widths[3])]) for row in cells]
    rule = "-" * len(lines[0])
    # Pooling, dropout, flatten and reshape have no weights, so the total is that of the convolutions and Dense layers:
    # 208 + 1,168 + 200,960 + 25,700 = 228,036 for lecture-cnn.
    total = sum(row["params"] for row in layers)
    return "\n".join([name, rule, lines[0], rule, *lines[1:], rule, f"Total {total:,} parameters"])


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _activation(layer: Any) -> str:
    name = getattr(
        layer.activation, "__name__", type(layer.activation).__name__
    )  # a function, or a layer such as PReLU
    return "" if name == "linear" else f", {ACTIVATIONS.get(name, name)}"
