"""The engine that runs a weight table both ways: which tensor goes where, what does not fit."""

import dataclasses
import re

import keras
import numpy as np
from keras.src.backend.common import global_state

from keras_transformer.checkpoints.weights import named_weights
from keras_transformer.families.tables import prefixed


def outline(make):
    """The shapes of a model's weights, {name: shape}, without memory for them.

    Args:
        make: a function that returns the model.

    Example:

    >>> import math
    >>> from keras_transformer.models import CausalLM, DecoderConfig
    >>> shapes = outline(lambda: CausalLM(DecoderConfig(vocab_size=50_257)))
    >>> sum(map(math.prod, shapes.values()))
    124439808
    """
    return shapes_of(make_empty(make)[0])


def make_empty(make):
    """A model that has no memory for its weights yet.

    Args:
        make: a function that returns the model.

    Returns:
        `(model, variables)`; `fill` gives the variables their values.
    """
    key = "uninitialized_variables"
    before = list(global_state.get_global_attribute(key, []))
    global_state.set_global_attribute(key, [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            model = make()
        return model, global_state.get_global_attribute(key)
    finally:  # else Keras would give them memory when the next such scope ends
        global_state.set_global_attribute(key, before)


def shapes_of(model):
    """{name: shape} of a model's weights."""
    return {name: tuple(weight.shape) for name, weight in named_weights(model).items()}


@dataclasses.dataclass(frozen=True)
class Table:
    """The rows of one model: of a family, a class, a configuration.

    Args:
        family: the `Family`.
        head: its `PublishedHead` for the class.
        config: our configuration.
        is_backbone: whether the model is the backbone itself.
    """

    family: object
    head: object
    config: object
    is_backbone: bool

    @classmethod
    def of(cls, family, model_class, config):
        """The table of a class of models."""
        is_backbone = issubclass(model_class, family.backbone)
        return cls(family, family.head_of(model_class), config, is_backbone)

    @property
    def prefix(self):
        """What stands before the backbone's tensors."""
        return self.family.prefix if self.head.prefix is None else self.head.prefix

    def rows(self, shapes):
        """`(rows of the backbone, rows of the head)` for weights of these names.

        Rows for what a configuration leaves out are dropped.

        Raises:
            ValueError: the model has weights that the table does not know.
        """
        ours = "" if self.is_backbone else "backbone/"
        backbone = prefixed(self.family.table(self.config), ours, self.prefix)
        found = [
            [row for row in rows if set(row.ours) <= set(shapes)]
            for rows in (backbone, self.head.table(self.config))
        ]
        known = {name for rows in found for row in rows for name in row.ours}
        unknown = sorted(set(shapes) - known)
        if unknown:
            raise ValueError(
                f"{self.family.model_type} has no place for these weights of the model: {unknown}"
            )
        return found

    def prefix_in(self, names):
        """What stands before the backbone's tensors in a file: as this head has it, or another."""
        others = (head.prefix for head in self.family.heads.values())
        for prefix in (self.prefix, self.family.prefix, *others):
            if prefix and any(name.startswith(prefix) for name in names):
                return prefix
        return ""

    def is_foreign(self, name, prefix):
        """Whether a tensor is of no concern: a buffer, a copy, or of another head."""
        bare = name.removeprefix(prefix)
        heads = self.family.heads.values()
        patterns = [*self.family.ignored, *(pattern for head in heads for pattern in head.tied)]
        if any(re.fullmatch(pattern, each) for pattern in patterns for each in (name, bare)):
            return True
        others = {row.theirs for head in heads for row in head.table(self.config)}
        return name in others or prefix + name in others


@dataclasses.dataclass
class Plan:
    """What is read for a model: tensors, the rows they fill, and weights without any."""

    shapes: dict
    rows: list  # (tensor's name in the files, row)
    lacking: list  # weights of the head that the checkpoint does not have


def plan(table, shapes, files, new_head=False):
    """How a checkpoint fills a model.

    Args:
        table: a `Table`.
        shapes: what `outline` returned.
        files: a `TensorFiles`.
        new_head: take a tensor of the head that has another shape, such as that of other classes,
            as one that the checkpoint does not have.

    Returns:
        A `Plan`.

    Raises:
        ValueError: tensors are missing, unexpected, of another shape or of no float; all are
            listed.
    """
    backbone, head = table.rows(shapes)
    names = published_names(files)
    prefix = table.prefix_in(names)
    rows, lacking, passed, problems = [], [], set(), []
    for row in (*backbone, *head):
        theirs = row.theirs
        if theirs.startswith(table.prefix) and (table.prefix or row not in head):
            theirs = prefix + theirs.removeprefix(table.prefix)
        others = [each for name in row.also for each in (prefix + name, name)]
        theirs = next((name for name in (theirs, *others) if name in names), theirs)
        if theirs not in names:
            if row in head or row.optional:
                lacking += [] if row.optional else row.ours
            else:
                problems.append(f"missing: {theirs}")
            continue
        place = files[names[theirs]]
        wanted = tuple(row.layout.shape([shapes[name] for name in row.ours]))
        if place.shape != wanted and new_head and row in head:
            lacking += row.ours
            passed.add(names[theirs])
            continue
        if place.shape != wanted:
            problems.append(f"of another shape: {theirs} is {place.shape}, the model's {wanted}")
        elif "float" not in place.dtype:
            problems.append(f"of another type: {theirs} is {place.dtype}, not a float")
        rows.append((names[theirs], row))
    problems += differing_copies(table, names, prefix, rows, files)
    used = passed | {name for name, _ in rows}
    problems += [
        f"unexpected: {name}"
        for name in files
        if name not in used and not table.is_foreign(modern_name(name), prefix)
    ]
    if problems:
        raise ValueError(
            f"{files.folder} does not fit {table.head.architecture}:\n  " + "\n  ".join(problems)
        )
    return Plan(shapes, rows, lacking)


def differing_copies(table, names, prefix, rows, files):
    """Problems with output matrices that should be the embedding again, and are others."""
    patterns = [pattern for pattern in table.head.tied if "weight" in pattern]
    others = ("position", "segment")  # may be of the same shape
    embeddings = {
        files[name].shape: name
        for name, row in rows
        if "embedding" in row.ours[0] and not any(kind in row.ours[0] for kind in others)
    }
    found = []
    for modern, name in names.items():
        bare = modern.removeprefix(prefix)
        is_copy = any(re.fullmatch(p, each) for p in patterns for each in (modern, bare))
        embedding = embeddings.get(files[name].shape)
        if not is_copy or embedding is None:
            continue
        if not np.array_equal(files.read(name), files.read(embedding)):
            found.append(
                f"{name} differs from {embedding}, though the configuration says that they are "
                "one: set tie_word_embeddings to false in config.json, or leave the tensor out"
            )
    return found


def published_names(files):
    """{name of today: name in the files}."""
    return {modern_name(name): name for name in files}


def modern_name(name):
    """A tensor's name as it is today: norms of early checkpoints have gamma and beta."""
    return re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))


def fill(model, variables, planned, files):
    """Reads the tensors, one at a time, into a model of `make_empty`.

    What the files do not have starts as in any new model.
    """
    named = named_weights(model)
    for theirs, row in planned.rows:
        tensor = files.read(theirs)
        if tensor.dtype != np.float32:
            tensor = tensor.astype(np.float32)
        shapes = [planned.shapes[name] for name in row.ours]
        for name, weight in zip(row.ours, row.layout.unpack(tensor, shapes), strict=True):
            start(named[name], np.ascontiguousarray(weight))
    for variable in variables:
        if variable._value is None:
            variable._deferred_initialize()
    for layer in model._flatten_layers():
        layer._post_build()  # what a backend does with the variables of a layer


def start(variable, weight):
    """Gives an empty variable its memory, with a NumPy array as its value."""
    variable._initializer = lambda shape, dtype: keras.ops.convert_to_tensor(weight, dtype)
    variable._deferred_initialize()


def collect(model, table):
    """The model's weights as published tensors: {their name: array}."""
    variables = named_weights(model)
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    prefix = table.prefix if table.is_backbone else ""
    tensors = {}
    for rows in table.rows(shapes):
        for row in rows:
            weights = [np.asarray(variables[name].numpy()) for name in row.ours]
            tensors[row.theirs.removeprefix(prefix)] = row.layout.pack(weights)
    return tensors
