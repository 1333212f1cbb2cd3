"""Which ONNX operators a model may use: those that our exporter writes, or more where a setting says so.

The exporter's list holds operators whose time and memory do not depend on the values that they compute with: no loops
and branches (Loop, If, Scan), nothing that makes a tensor of a computed size (Expand, Tile, Range, ConstantOfShape,
Resize, OneHot), no random numbers, nothing that reads text or images. What such a model costs in its try-out is what it
costs for every request.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

ENVIRONMENT = "DIGITS_ALLOWED_OPERATORS"
ONNX, ONNX_ML = "ai.onnx", "ai.onnx.ml"
DOMAINS = (ONNX, ONNX_ML)  # custom domains are never allowed

_EXPORTED = """
    Abs Add ArgMax AveragePool BatchNormalization Cast Clip Concat Constant Conv ConvTranspose DepthToSpace Div Dropout
    Elu Equal Erf Exp Flatten Gather Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual HardSigmoid HardSwish
    Identity InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max MaxPool Mean
    Min Mul Neg PRelu Pad Pow Reciprocal ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceSum
    ReduceSumSquare Relu Reshape Selu Shape Sigmoid Sign Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze
    Sub Sum Tanh ThresholdedRelu Transpose Unsqueeze Where
"""
EXPORTED = frozenset(_EXPORTED.split())


@dataclass(frozen=True)
class Operators:
    """The operators a model may use.

    Attributes:
        names: "domain:operator" of each that is allowed.
        everything: whether every operator of ai.onnx and ai.onnx.ml is.
    """

    names: frozenset[str] = frozenset(f"{ONNX}:{name}" for name in EXPORTED)
    everything: bool = False

    @classmethod
    def parse(cls, text: str) -> Operators:
        """Read the setting: "exporter", "onnx", or names to add to the exporter's, separated by commas.

        A name without a domain is one of ai.onnx; "ai.onnx.ml:Scaler" is one of ai.onnx.ml.
        """
        if text == "onnx":
            return cls(everything=True)
        words = (word.strip() for word in text.split(","))
        added = {word if ":" in word else f"{ONNX}:{word}" for word in words if word and word != "exporter"}
        return cls(names=cls().names | added)

    @classmethod
    def from_environment(cls) -> Operators:
        """As DIGITS_ALLOWED_OPERATORS says; for programs that have no Settings."""
        return cls.parse(os.environ.get(ENVIRONMENT, "exporter"))

    def allows(self, domain: str, name: str) -> bool:
        """Whether a node may be this operator. The empty domain is ai.onnx."""
        domain = domain or ONNX
        return domain in DOMAINS and (self.everything or f"{domain}:{name}" in self.names)
