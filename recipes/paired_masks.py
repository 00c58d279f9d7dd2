"""BERT's two objectives at once: fill masks, and say whether one text follows the other.

B batch, T length, M masked positions, D width, V vocabulary

Devlin et al. 2019, "BERT", section 3.1; Lan et al. 2020, "ALBERT", section 3.1.
"""

import re

import keras
import numpy as np

from keras_transformer.layers.feed_forward import get_activation
from keras_transformer.models.pooling import first

# Where a sentence ends: behind its mark, or at a blank line
BREAK = re.compile(r"(?<=[.!?])[\"')\]]*\s+|(?<=[。！？])\s*|\n\s*\n\s*")


class PairedMaskedLM(keras.Model):
    """A `MaskedLM` that also classifies two texts from the vector of their first token.

        pair = V tanh(W Encoder(x)₁ + b) + c

    The loss is the sum of both mean cross-entropies. The pooler W and the classifier V are new
    whatever the encoder was, and serve while training only: the encoder is what is saved.

    Args:
        encoder: a `MaskedLM`.

    Call:
        inputs: as `data.SentencePairBatches` makes them.
        training: whether dropout is active.

    Returns:
        A dictionary of logits: `tokens` (B, M, V) and `pair` (B, 1, 2).
    """

    def __init__(self, encoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        width = encoder.config.hidden_dim
        self.pooler = encoder.make_dense("pooler", width, get_activation("tanh"), (None, width))
        self.classes = encoder.make_dense("pair", 2, shape=(None, width))
        self.built = True

    @property
    def backbone(self):
        """The encoder's, whose layers may have rates of their own."""
        return self.encoder.backbone

    def call(self, inputs, training=None):
        inputs = dict(inputs)
        positions = inputs.pop("mask_positions")
        hidden = self.backbone(inputs, training=training)  # (B, T, D)
        pair = self.classes(self.pooler(first(hidden, inputs["padding_mask"])))  # (B, 2)
        return {"tokens": self.encoder.logits(hidden, positions), "pair": pair[:, None]}


def check_segments(name, config, template):
    """Refuses what cannot tell the two texts apart.

    Args:
        name: of the checkpoint, for the error.
        config: of the encoder.
        template: of the tokenizer.
    """
    used = {segment for _, segment in template.pair}
    if config.num_segments < 2 or used != {0, 1}:
        raise ValueError(
            f"{name}: --pairs needs an encoder and a tokenizer with segments 0 and 1; the encoder "
            f"has {config.num_segments} of them, the tokenizer uses {sorted(used)}"
        )


def sentences(tokenizer, documents):
    """Each document as a list of the token ids of its sentences.

    A document is tokenised whole, so that a sentence begins with the piece that it has in running
    text.
    """
    found = []
    for text, (ids, offsets) in zip(
        documents, tokenizer.encode_with_offsets(documents), strict=True
    ):
        begins = [match.end() for match in BREAK.finditer(text)]
        cuts = np.searchsorted([end for _, end in offsets], begins, side="right")
        parts = np.split(np.array(ids, "int32"), cuts)
        found.append([part.tolist() for part in parts if len(part)])
    return found
