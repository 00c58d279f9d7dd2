"""The rows of weight tables: which tensor of a checkpoint holds which of our weights, and how.

A table lists rows; an engine in `checkpoints` runs it forwards to read and backwards to write. The
functions below give the rows of one layer. They name every weight that such a layer may have; what
a configuration leaves out (a bias, say) is dropped when the table meets the model.
"""

import dataclasses

import numpy as np


class Same:
    """One tensor as it is."""

    outputs_first = False  # whether a kernel (inputs, outputs) is kept as (outputs, inputs)

    def shape(self, shapes):
        """The tensor's shape, from the shapes of our weights."""
        return shapes[0]

    def unpack(self, tensor, shapes):
        """Our weights, from the tensor."""
        return [tensor]

    def pack(self, weights):
        """The tensor, from our weights."""
        return weights[0]


class Transposed(Same):
    """A kernel (inputs, outputs) as torch keeps it: (outputs, inputs)."""

    outputs_first = True

    def shape(self, shapes):
        return shapes[0][::-1]

    def unpack(self, tensor, shapes):
        return [tensor.T]

    def pack(self, weights):
        return weights[0].T


class Row0(Same):
    """A vector (V,) that is kept as (1, V)."""

    def shape(self, shapes):
        return (1, *shapes[0])

    def unpack(self, tensor, shapes):
        return [tensor[0]]

    def pack(self, weights):
        return weights[0][None]


class SideBySide(Same):
    """Several weights that are joined along their last axis, such as queries, keys and values."""

    def shape(self, shapes):
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    def unpack(self, tensor, shapes):
        ends = np.cumsum([shape[-1] for shape in shapes])[:-1]
        return np.split(tensor, ends, axis=-1)

    def pack(self, weights):
        return np.concatenate(weights, axis=-1)


class HeadByHead(Same):
    """Kernels (D, H·K) or biases (H·K) of queries, keys and values as (H·3·K, D) or (H·3·K)."""

    outputs_first = True

    def __init__(self, num_heads):
        self.num_heads = num_heads

    def shape(self, shapes):
        return (sum(shape[-1] for shape in shapes), *shapes[0][:-1])

    def unpack(self, tensor, shapes):
        count, rest = len(shapes), tensor.shape[1:]
        parts = tensor.reshape(self.num_heads, count, -1, *rest)
        return [parts[:, i].reshape(-1, *rest).T for i in range(count)]

    def pack(self, weights):
        rest = weights[0].shape[:-1]
        parts = [weight.T.reshape(self.num_heads, -1, *rest) for weight in weights]
        return np.stack(parts, axis=1).reshape(-1, *rest)


SAME, TRANSPOSED, ROW, SIDE_BY_SIDE = Same(), Transposed(), Row0(), SideBySide()


@dataclasses.dataclass(frozen=True)
class Row:
    """One tensor of a checkpoint.

    Args:
        theirs: the tensor's name.
        ours: the names of the weights that it holds.
        layout: how it holds them.
        optional: whether reading goes on without it, and our weights keep their initial values,
            such as a bias that starts as zeros.
        also: other names of the tensor in some files, of which the first that is there is read
            where its own name is not; whether a prefix stands before them makes no difference.
            Embeddings that several parts share, say, are kept under the name of any of them.

    Example:

    >>> Row("pooler.dense.weight", ("pooler/kernel",), TRANSPOSED).ours
    ('pooler/kernel',)
    """

    theirs: str
    ours: tuple
    layout: object = SAME
    optional: bool = False
    also: tuple = ()


def dense(ours, theirs):
    """A `Dense` layer from torch's `Linear`."""
    return [
        Row(f"{theirs}.weight", (f"{ours}/kernel",), TRANSPOSED),
        Row(f"{theirs}.bias", (f"{ours}/bias",)),
    ]


def norm(ours, theirs):
    """A layer or RMS normalisation."""
    return [
        Row(f"{theirs}.weight", (f"{ours}/gamma",)),  # LayerNormalization
        Row(f"{theirs}.weight", (f"{ours}/scale",)),  # RMSNormalization
        Row(f"{theirs}.bias", (f"{ours}/beta",)),
    ]


def embedding(ours, theirs):
    """A table of vectors."""
    return [Row(f"{theirs}.weight", (f"{ours}/embeddings",))]


def attention(ours, theirs, names):
    """An attention layer whose four projections have the given names, in the order q, k, v, o."""
    rows = []
    for part, name in zip(("query", "key", "value", "output"), names, strict=True):
        rows += dense(f"{ours}/{part}", f"{theirs}.{name}")
    return rows


def prefixed(rows, ours="", theirs=""):
    """Rows with prefixes before both names."""
    return [
        dataclasses.replace(
            row, theirs=theirs + row.theirs, ours=tuple(ours + name for name in row.ours)
        )
        for row in rows
    ]
