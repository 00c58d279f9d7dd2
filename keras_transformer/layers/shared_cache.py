"""Keys and values that the hypotheses of a sentence share.

B sentences, G hypotheses of each, N = B·G rows, H heads, K head width
P positions of the prompt, L positions after it
"""

from typing import NamedTuple

from keras import ops


class SharedCache(NamedTuple):
    """The share of a layer in which G hypotheses of a sentence have their keys side by side.

    Hypotheses that change places, as in a beam search, move no key: `ancestors` alone tells whose
    keys are their past. The keys of a prompt are there once.

    Attributes:
        key: (B, H, P + L·G, K): those of the prompt, then G for each position.
        value: likewise.
        index: int32 scalar, the number of positions written, the prompt's among them.
        ancestors: (B, G, L) int32: which of the G keys of a position a hypothesis sees. From
            `index` on its own.

    Example:

    >>> from keras_transformer.layers import KeyValueCache
    >>> prompt = KeyValueCache.create(1, batch_size=2, num_heads=3, max_length=5, head_dim=7)
    >>> layer = prompt.shared(groups=4, length=6).layer(0)
    >>> tuple(layer.key.shape), tuple(layer.ancestors.shape)
    ((2, 3, 29, 7), (2, 4, 6))
    """

    key: object
    value: object
    index: object
    ancestors: object

    @property
    def prompt(self):
        """P."""
        _, groups, length = ops.shape(self.ancestors)
        return ops.shape(self.key)[2] - length * groups

    @property
    def length(self):
        """P + L."""
        return self.prompt + ops.shape(self.ancestors)[2]

    @property
    def places(self):
        """(P + L·G,) int32: the position that each place holds."""
        place = ops.arange(ops.shape(self.key)[2], dtype="int32") - self.prompt
        place = ops.where(place < 0, place, place // ops.shape(self.ancestors)[1])
        return self.prompt + place

    def update(self, key, value):
        """Writes keys and values at `index`.

        Args:
            key: (N, H, 1, K).
            value: (N, H, 1, K).

        Returns:
            The new SharedCache, its index advanced by 1.
        """
        groups = ops.shape(self.ancestors)[1]
        start = (0, 0, self.prompt + (self.index - self.prompt) * groups, 0)
        keys, values = (
            ops.slice_update(old, start, ops.cast(self.fold(new), old.dtype))
            for old, new in ((self.key, key), (self.value, value))
        )
        return self._replace(key=keys, value=values, index=self.index + 1)

    def fold(self, x):
        """(N, H, 1, ·) to (B, H, G, ·): hypotheses become the positions of one sequence."""
        if x.shape[2] != 1:
            raise ValueError(
                "hypotheses that share a cache are decoded one token at a time; "
                f"received {x.shape[2]} tokens, for which models are started with `lookahead`"
            )
        batch_size, groups, _ = ops.shape(self.ancestors)
        x = ops.reshape(x, (batch_size, groups, x.shape[1], x.shape[3]))
        return ops.transpose(x, (0, 2, 1, 3))

    def unfold(self, x):
        """(B, H, G, ·) to (N, H, 1, ·): `fold` undone."""
        batch_size, num_heads, groups, width = ops.shape(x)
        x = ops.transpose(x, (0, 2, 1, 3))
        return ops.reshape(x, (batch_size * groups, num_heads, 1, width))

    def unfold_scores(self, scores):
        """Scores of the places (B, H, G, P + L·G) as those of the positions, (N, H, 1, P + L)."""
        _, groups, length = ops.shape(self.ancestors)
        scores = self.unfold(scores)
        rows, num_heads = ops.shape(scores)[:2]
        new = scores[..., self.prompt :]
        new = ops.sum(ops.reshape(new, (rows, num_heads, 1, length, groups)), axis=-1)
        return ops.concatenate([scores[..., : self.prompt], new], axis=-1)

    def of_sentences(self, x):
        """(N, ·) to (B, ·): of what is the same for all hypotheses of a sentence, the first."""
        batch_size, groups, _ = ops.shape(self.ancestors)
        return ops.reshape(x, (batch_size, groups, ops.shape(x)[1]))[:, 0]

    def reordered_ancestors(self, rows):
        """The `ancestors` of hypotheses that go on as what rows (N,) were; own ones from now on."""
        batch_size, groups, length = ops.shape(self.ancestors)
        taken = ops.take(ops.reshape(self.ancestors, (batch_size * groups, length)), rows, axis=0)
        taken = ops.reshape(taken, (batch_size, groups, length))
        written = ops.arange(length, dtype="int32") < self.index - self.prompt
        own = ops.arange(groups, dtype="int32")[:, None]
        return ops.where(written, taken, own)

    def own_places(self):
        """(B, 1, G, P + L·G) boolean: the places that hold what a hypothesis has come from."""
        batch_size, groups, length = ops.shape(self.ancestors)
        own = self.ancestors[..., None] == ops.arange(groups, dtype="int32")  # (B, G, L, G)
        own = ops.reshape(own, (batch_size, groups, length * groups))
        prompt = ops.ones((batch_size, groups, self.prompt), "bool")
        return ops.concatenate([prompt, own], axis=2)[:, None]
