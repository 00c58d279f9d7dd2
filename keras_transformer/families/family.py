"""What a family is: a configuration translated, weight tables, published sizes."""

import dataclasses
from collections.abc import Callable


def no_rows(config):
    """The table of a head without weights of its own."""
    return []


def no_arguments(fields):
    """The arguments of a head that needs none."""
    return {}


@dataclasses.dataclass(frozen=True)
class PublishedHead:
    """One model class of a family.

    Args:
        architecture: the class's name in a published `config.json`.
        table: (config) to the rows of the head's own weights, with whole names on both sides; the
            backbone's are added.
        to_arguments: (their configuration) to arguments of our model's constructor.
        from_model: (our model) to fields of their configuration.
        tied: regular expressions of tensors that repeat another one and are left out.
        prefix: what stands before the backbone's tensors, where it is not the family's.

    Example:

    >>> PublishedHead("BertModel").table(None)
    []
    """

    architecture: str
    table: Callable = no_rows
    to_arguments: Callable = no_arguments
    from_model: Callable = no_arguments
    tied: tuple = ()
    prefix: str = None


@dataclasses.dataclass(frozen=True)
class Size:
    """A published size.

    Args:
        head: our class that the count is of.
        fields: the published configuration, as far as it differs from the family's defaults.
        parameters: the published number of parameters, tied ones counted once.

    Example:

    >>> from keras_transformer.families import FAMILIES
    >>> FAMILIES["bert"].sizes["bert-base-uncased"].parameters
    109514298
    """

    head: type
    fields: dict
    parameters: int


@dataclasses.dataclass(frozen=True)
class Family:
    """A published family.

    Args:
        model_type: its name in a published `config.json`.
        backbone: our class.
        prefix: what stands before the backbone's tensors in a checkpoint with a head, such as
            "bert."; a checkpoint of the backbone alone has no prefix.
        to_config: (their configuration, a dictionary) to ours. What ours cannot express is a
            ValueError that names the field.
        from_config: (our configuration) to theirs; likewise.
        table: (config) to the rows of the backbone, without prefixes.
        heads: {our class: `PublishedHead`}; the backbone itself is one of them.
        ignored: regular expressions of tensors, without the prefix, that hold nothing to learn or
            belong to heads that this package does not have.
        sizes: {published name: `Size`}.
        others: families of the same name whose models have another backbone, such as the encoder of
            an encoder-decoder alone.

    Example:

    >>> from keras_transformer.families import get_family
    >>> from keras_transformer.models import MaskedLM
    >>> get_family("bert").head_of(MaskedLM).architecture
    'BertForMaskedLM'
    """

    model_type: str
    backbone: type
    prefix: str
    to_config: Callable
    from_config: Callable
    table: Callable
    heads: dict
    ignored: tuple = ()
    sizes: dict = dataclasses.field(default_factory=dict)
    others: tuple = ()

    def of(self, cls):
        """The family that a class of models belongs to: this one, or one of the others."""
        for family in (self, *self.others):
            if any(base in family.heads for base in cls.__mro__):
                return family
        return self

    @property
    def all_heads(self):
        """{our class: `PublishedHead`} of this family and the others."""
        heads = {}
        for family in (*self.others, self):
            heads |= family.heads
        return heads

    def head_of(self, cls):
        """The `PublishedHead` of a class or of the nearest class above it.

        Raises:
            ValueError: the family publishes no such head; the message lists those it has.
        """
        for base in cls.__mro__:
            if base in self.heads:
                return self.heads[base]
        known = ", ".join(sorted(head.__name__ for head in self.all_heads))
        raise ValueError(f"{self.model_type} has no {cls.__name__}; it has {known}")


def need(fields, name, *allowed):
    """Refuses a value of a published configuration that our models cannot express.

    Example:

    >>> need({"model_type": "bert", "position_embedding_type": "relative_key"},
    ...      "position_embedding_type", "absolute")
    Traceback (most recent call last):
    ValueError: bert with position_embedding_type='relative_key' is not supported, only 'absolute'
    """
    value = fields.get(name, allowed[0])
    if value not in allowed:
        raise ValueError(
            f"{fields.get('model_type', 'a model')} with {name}={value!r} is not supported, "
            f"only {', '.join(map(repr, allowed))}"
        )
    return value


# Names of activations in published configurations, and ours
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}


def to_activation(fields, name):
    """Our name of the activation in field `name`."""
    return ACTIVATIONS[need(fields, name, *ACTIVATIONS)]


def from_activation(activation):
    """The published name of our activation."""
    names = {"gelu_tanh": "gelu_new"}
    if activation not in ACTIVATIONS.values():
        raise ValueError(
            f"activation={activation!r} has no published name; known are "
            f"{sorted(set(ACTIVATIONS.values()))}"
        )
    return names.get(activation, activation)


def to_pad(fields):
    """`pad_id` of a published configuration; some files name a token outside the vocabulary.

    Example:

    >>> to_pad({"vocab_size": 11, "pad_token_id": -1}) is None
    True
    """
    token = fields["pad_token_id"]
    return token if token is not None and 0 <= token < fields["vocab_size"] else None


PROBLEMS = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}


def to_classes(fields):
    """`num_classes` of a published configuration, as far as it has one, and `labels` likewise."""
    names = fields.get("id2label")
    if names:
        labels = [str(names[key]) for key in sorted(names, key=int)]
        if labels == numbered(len(labels)) or len(set(labels)) < len(labels):
            return {"num_classes": len(labels)}
        return {"num_classes": len(labels), "labels": labels}
    if "num_labels" in fields:
        return {"num_classes": fields["num_labels"]}
    return {}


def to_problem(fields):
    """`num_classes` and `problem` of a published configuration."""
    arguments = to_classes(fields)
    names = {theirs: ours for ours, theirs in PROBLEMS.items()}
    if fields.get("problem_type") is not None:
        return {**arguments, "problem": names[need(fields, "problem_type", *names)]}
    if arguments.get("num_classes") == 1:
        return {**arguments, "problem": "regression"}
    return arguments


def from_classes(model):
    """The labels of a model, by number where they have no names."""
    labels = model.labels or numbered(model.num_classes)
    return {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }


def numbered(num_classes):
    """The names of classes that have none, as transformers writes them."""
    return [f"LABEL_{i}" for i in range(num_classes)]


def from_problem(model):
    """The labels and the problem type of a model."""
    return {**from_classes(model), "problem_type": PROBLEMS[model.problem]}
