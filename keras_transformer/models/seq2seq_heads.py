"""Encoder-decoders with a head that is fine-tuned for a job other than text to text.

Both stacks read the same text, the decoder shifted right, as in BART's fine-tuning.

B batch, T length, D width, C classes
"""

import keras
from keras import ops

from keras_transformer.generation.decoding import is_end
from keras_transformer.layers.checks import check_choice
from keras_transformer.models.encoder_heads import SequenceClassifier, SpanExtractor
from keras_transformer.models.head import Head
from keras_transformer.models.pooling import last
from keras_transformer.models.transformer import Transformer


class ReadsTwice(Head):
    """A head on the states of a `Transformer` whose two stacks read one text. Not used by itself.

    A subclass calls `read`.

    Args:
        config: a `TransformerConfig`.
        decoder_start: the token that the decoder reads first: "bos" for `config.bos_id`, "last" for
            the text's own last one, as in mBART.
    """

    backbone_class = Transformer

    def __init__(self, config, *args, decoder_start="bos", **kwargs):
        check_choice("decoder_start", decoder_start, ("bos", "last"))
        self.decoder_start = decoder_start
        super().__init__(config, *args, **kwargs)

    def read(self, inputs, training=None):
        """The decoder's hidden states (B, T, D), and the inputs with all names."""
        inputs = named(inputs)
        return self.backbone(self.both_sides(inputs), training=training), inputs

    def both_sides(self, inputs):
        """Inputs of one text as those of the backbone."""
        token_ids, mask = inputs["token_ids"], inputs["padding_mask"]
        if self.decoder_start == "bos":
            start = ops.full_like(token_ids[:, :1], self.config.bos_id)
        else:
            start = last(token_ids[:, :, None], mask)  # (B, 1)
        sides = {
            "encoder_token_ids": token_ids,
            "decoder_token_ids": ops.concatenate([start, token_ids[:, :-1]], axis=1),
        }
        # The decoder's own padding comes after what is real, where a causal mask hides it.
        return sides if mask is None else {**sides, "encoder_padding_mask": mask}

    def get_config(self):
        return {**super().get_config(), "decoder_start": self.decoder_start}

    def hidden_states(self, inputs):
        return self.backbone.hidden_states(self.both_sides(named(inputs)))

    def attention_scores(self, inputs):
        return self.backbone.attention_scores(self.both_sides(named(inputs)))


@keras.saving.register_keras_serializable(package="keras_transformer")
class Seq2SeqClassifier(ReadsTwice, SequenceClassifier):
    """A text to logits of classes, by the decoder's state at the text's end token.

        h = tanh(W dropout(Transformer(x, x shifted right)[eos]) + b),  logits = V dropout(h) + c

    Args:
        config: a `TransformerConfig`.
        num_classes: C; 1 for one regression target.
        problem: "single_label" (softmax), "multi_label" (sigmoids) or "regression".
        head_dropout: rate of both dropouts of the equation.
        labels: names of the C classes, or None.
        decoder_start: the token that the decoder reads first: "bos" for `config.bos_id`, "last" for
            the text's own last one, as in mBART.
        encoder_block: a subclass of `TransformerEncoderBlock`, or None for itself.
        decoder_block: a subclass of `TransformerDecoderBlock`, or None for itself.

    Call:
        inputs: token ids (B, T), or a dictionary of `token_ids` and perhaps `padding_mask` (B, T),
            True = real token, padding on the right. Of several tokens that are `config.eos_id` the
            last one counts; a text without any counts by its last token.
        training: whether dropout is active.

    Returns:
        (B, C) logits in the compute dtype.

    Raises:
        ValueError: a number is out of its range, or a name not known.

    Example:

    >>> import numpy as np
    >>> model = Seq2SeqClassifier.from_preset("transformer_tiny", vocab_size=11, num_classes=3)
    >>> model(np.array([[5, 6, 2]])).shape == (1, 3)
    True

    Reference:
        Lewis et al. 2020, "BART", section 3.1.
    """

    def __init__(
        self, config, num_classes, problem="single_label", head_dropout=0.0, labels=None, **kwargs
    ):
        super().__init__(
            config,
            num_classes,
            problem=problem,
            pooling="last",
            head_activation="tanh",
            head_dropout=head_dropout,
            pooled_dropout=True,
            labels=labels,
            **kwargs,
        )

    def call(self, inputs, training=None):
        hidden, inputs = self.read(inputs, training)
        ends = ends_of(inputs["token_ids"], inputs["padding_mask"], self.config)
        return self.classify(hidden, ends, training)

    def get_config(self):
        fixed = ("pooling", "head_activation", "pooled_dropout")
        return {name: value for name, value in super().get_config().items() if name not in fixed}


@keras.saving.register_keras_serializable(package="keras_transformer")
class Seq2SeqSpanExtractor(ReadsTwice, SpanExtractor):
    """Where an answer starts and ends in a text, by an encoder-decoder that reads it twice.

        logits = V Transformer(x, x shifted right) + c

    Args:
        config: a `TransformerConfig`.
        head_dropout: rate of a dropout before V; BART has none.
        decoder_start: the token that the decoder reads first: "bos" for `config.bos_id`, "last" for
            the text's own last one, as in mBART.
        encoder_block: a subclass of `TransformerEncoderBlock`, or None for itself.
        decoder_block: a subclass of `TransformerDecoderBlock`, or None for itself.

    Call:
        inputs: token ids (B, T), or a dictionary of `token_ids` and perhaps `padding_mask` (B, T),
            True = real token, padding on the right.
        training: whether dropout is active.

    Returns:
        (B, T, 2) float32: logits of the start and of the end, so low at padding that their softmax
        over T is 0 there. Labels of the default loss are (B, 2) positions.

    Example:

    >>> import numpy as np
    >>> model = Seq2SeqSpanExtractor.from_preset("transformer_tiny", vocab_size=11)
    >>> model(np.array([[5, 6, 2]])).shape == (1, 3, 2)
    True

    Reference:
        Lewis et al. 2020, "BART", section 3.1.
    """

    def call(self, inputs, training=None):
        hidden, inputs = self.read(inputs, training)
        return self.extract(hidden, inputs["padding_mask"], training)


def named(inputs):
    """The inputs of one text with both names, a missing mask as None."""
    if not isinstance(inputs, dict):
        inputs = {"token_ids": inputs}
    if not {"token_ids"} <= set(inputs) <= {"token_ids", "padding_mask"}:
        raise ValueError(
            "inputs must be token ids or a dictionary with token_ids, and optionally "
            f"padding_mask; received {sorted(inputs)}"
        )
    return {
        "token_ids": ops.cast(inputs["token_ids"], "int32"),
        "padding_mask": inputs.get("padding_mask"),
    }


def ends_of(token_ids, padding_mask, config):
    """Which real tokens (B, T) end a text; all of them where none is `config.eos_id`."""
    real = ops.ones_like(token_ids, dtype="bool")
    if padding_mask is not None:
        real = ops.cast(padding_mask, "bool")
    ends = real & is_end(token_ids, config)
    return ends | (real & ~ops.any(ends, axis=1, keepdims=True))
