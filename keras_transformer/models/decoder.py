"""The decoder of GPT and its kin.

B batch, T length, S cached length, D width
P prompt length, L new tokens at most, G hypotheses of a prompt, N = B·G rows
"""

from typing import NamedTuple

import keras
from keras import ops

from keras_transformer.layers import (
    KeyValueCache,
    LearnedPositions,
    MultiHeadSelfAttention,
    TransformerDecoderBlock,
)
from keras_transformer.layers.position import token_positions
from keras_transformer.models.stack import TransformerStack
from keras_transformer.models.stack_config import DecoderConfig

SHARED_AT_MOST = 16  # hypotheses


class PromptedState(NamedTuple):
    """What decoding carries from token to token after a prompt; a tuple of tensors.

    Attributes:
        cache: `KeyValueCache` of the self-attention, N rows.
        padding_mask: (N, S) boolean over the cached positions; padding stands on the left.

    Example:

    >>> PromptedState(cache=None, padding_mask=None).cache is None
    True
    """

    cache: KeyValueCache
    padding_mask: object


@keras.saving.register_keras_serializable(package="keras_transformer")
class TransformerDecoder(TransformerStack):
    """Tokens to hidden states that have seen what is before them.

        x = dropout(E[token] + P[position]),  x = block(x) for each block,  norm(x)

    With `config.context_dim`, blocks attend to a context too: the decoder of a `Transformer`.

    Args:
        config: a `DecoderConfig`.
        block: a subclass of `TransformerDecoderBlock`, or None for itself.

    Call:
        inputs: (B, T) int32 token ids, or a dictionary of `token_ids` and, where there is padding,
            `padding_mask` (B, T) boolean, True = real token, and where texts are packed,
            `segment_ids` (B, T) integers that differ from text to text of a row: each is read as
            if it stood alone; with a context also `context` (B, S, C) and perhaps
            `context_padding_mask` (B, S).
        training: whether dropout is active.

    Returns:
        (B, T, D) in the compute dtype.

    Raises:
        ValueError: the inputs lack `token_ids`, or have a key that is not known.

    Example:

    >>> import numpy as np
    >>> config = DecoderConfig(vocab_size=11, num_layers=2, hidden_dim=8, num_heads=2, ffn_dim=16)
    >>> TransformerDecoder(config)(np.array([[5, 6, 7]])).shape == (1, 3, 8)
    True

    Reference:
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
    """

    config_class = DecoderConfig
    block_classes = {"block": TransformerDecoderBlock}
    input_names = ("token_ids", "padding_mask", "segment_ids", "context", "context_padding_mask")

    def build_block(self, block):
        shape = (None, None, self.config.hidden_dim)
        if self.config.context_dim is None:
            block.build(shape)
        else:
            block.build(shape, (None, None, self.config.context_dim))

    def context_arguments(self, inputs):
        arguments = {"segment_ids": inputs["segment_ids"]}
        if self.config.context_dim is None:
            return arguments
        return arguments | {name: inputs[name] for name in ("context", "context_padding_mask")}

    def embed(self, inputs, start_index=0, training=None):
        segments = inputs.get("segment_ids")
        if segments is not None:
            inputs = {**inputs, "positions": token_positions(inputs["padding_mask"], segments)}
        return super().embed(inputs, start_index, training)

    def project_context(self, context):
        """Keys and values of a context for each block: a tuple of pairs of (B, N, S, K)."""
        return tuple(block.project_context(context) for block in self.blocks)

    def make_cache(self, batch_size, max_length, dtype=None, beams=1, lookahead=0):
        """An empty `KeyValueCache` of S = `max_length` positions for all blocks.

        Args:
            batch_size: B.
            max_length: S.
            dtype: of keys and values; by default the compute dtype.
            beams: G; the cache is for B·G rows.
            lookahead: as in `start`.
        """
        attention = self.blocks[0].self_attention
        shared = self.shares_cache(beams, lookahead)
        cache = KeyValueCache.create(
            len(self.blocks),
            batch_size if shared else batch_size * beams,
            attention.num_kv_heads,
            0 if shared else max_length,
            attention.key_dim,
            dtype or self.compute_dtype,
        )
        return cache.shared(beams, max_length) if shared else cache

    def start(
        self, token_ids, padding_mask, max_new_tokens, beams=1, cache_dtype=None, lookahead=0
    ):
        """Reads a prompt but for its last token, which the first step is given.

        Args:
            token_ids: (B, P) int32.
            padding_mask: (B, P) boolean, True = real token, padding on the left.
            max_new_tokens: L.
            beams: G.
            cache_dtype: as in `make_cache`.
            lookahead: how many tokens a step may read beyond the one that is next.

        Returns:
            A `PromptedState` of N = B·G rows and S = P - 1 + L positions: those of the tokens that
            are read, of which the last new one is none. Blocks with a window keep the window only.
        """
        rows, length = ops.shape(token_ids)
        cache = self.make_cache(rows, length - 1, cache_dtype)
        if not (isinstance(length, int) and length == 1):
            _, cache = self.step(token_ids[:, :-1], cache, padding_mask=padding_mask[:, :-1])
        new = ops.ones((rows, max_new_tokens - 1), "bool")
        mask = ops.concatenate([ops.cast(padding_mask, "bool"), new], axis=1)
        if beams != 1:
            mask = ops.repeat(mask, beams, axis=0)
        windows = self.cache_windows(lookahead)
        if self.shares_cache(beams, lookahead) and all(window is None for window in windows):
            return PromptedState(cache.shared(beams, max_new_tokens), mask)
        return PromptedState(cache.extended(max_new_tokens, windows).repeat(beams), mask)

    def shares_cache(self, beams, lookahead=0):
        """Whether the hypotheses of a sentence share their keys: see `SharedCache`.

        Each attends to the places of all, which costs less than to move keys while they are few.
        What reads several tokens at a time changes no places.
        """
        one_token = isinstance(lookahead, int) and lookahead == 0
        if not (one_token and isinstance(beams, int) and 1 < beams <= SHARED_AT_MOST):
            return False
        own = (MultiHeadSelfAttention.call, MultiHeadSelfAttention.attend)
        kinds = [type(block.self_attention) for block in self.blocks]
        return all((kind.call, kind.attend) == own for kind in kinds)

    def cache_windows(self, lookahead):
        """For each block how many cached positions are enough, or None for all of them."""
        windows = []
        for block in self.blocks:
            attention, window = block.self_attention, None
            # A user's own attention need not know of a cache that is written round and round.
            known = type(attention).call is MultiHeadSelfAttention.call
            if known and attention.window and not (attention.position_bias or self.position_bias):
                window = attention.window + lookahead
            windows.append(window)
        return windows

    def step(
        self,
        token_ids,
        cache,
        padding_mask=None,
        context_cache=None,
        context_padding_mask=None,
        scores=None,
    ):
        """Hidden states of T more tokens of each row, given those in the cache.

        Args:
            token_ids: (B, T) int32.
            cache: the `KeyValueCache` so far.
            padding_mask: (B, S) boolean over the cached positions, True = real token, with which
                learned and sinusoidal positions count real tokens only; or None.
            context_cache: what `project_context` returned, where the blocks attend to a context.
            context_padding_mask: (B, S) boolean over the context, or None.
            scores: a list that is given a list of each block's attention scores; or None.

        Returns:
            `(hidden states (B, T, D), the advanced cache)`.
        """
        length = cache.length if padding_mask is None else ops.shape(padding_mask)[1]
        positions = self.step_positions(token_ids, cache.index, padding_mask)
        x = self.embed_step(token_ids, cache.index, positions)
        arguments = {
            "padding_mask": padding_mask,
            **({} if positions is None else {"positions": positions}),
            **({} if scores is None else {"return_attention_scores": True}),
            "attention_bias": self.attention_bias(ops.shape(x)[1], length, cache.index),
        }
        advanced = []
        for i, block in enumerate(self.blocks):
            if context_cache is not None:
                arguments["context_cache"] = context_cache[i]
                arguments["context_padding_mask"] = context_padding_mask
            x, *found, layer = block(
                x, cache=cache.layer(i, self.compute_dtype, length), **arguments
            )
            advanced.append(layer)
            if scores is not None:
                scores.append(found)
        return self.norm(x), KeyValueCache.from_layers(advanced)

    def step_positions(self, token_ids, index, padding_mask):
        """Positions (B, T) or (T,) of tokens that stand at the cached positions from `index` on.

        None stands for those from `index` on.
        """
        learned = isinstance(self.positions, LearnedPositions)
        here = index + ops.arange(ops.shape(token_ids)[1], dtype="int32")  # (T,)
        # Rows that are done, and guesses, may run on beyond what there are positions for.
        if padding_mask is None:
            if not learned or token_ids.shape[1] == 1:
                return None
            return ops.minimum(here, self.config.max_length - 1)
        padding = ops.cast(ops.logical_not(padding_mask), "int32")  # (B, S)
        before = ops.cumsum(padding, axis=1)  # how many of a row's positions are not real
        positions = ops.maximum(here - ops.take(before, here, axis=1), 0)  # (B, T)
        return ops.minimum(positions, self.config.max_length - 1) if learned else positions

    def embed_step(self, token_ids, index, positions):
        """Embedded tokens that stand at the cached positions from `index` on."""
        if positions is None:
            return self.embed({"token_ids": token_ids}, start_index=index)
        return self.embed({"token_ids": token_ids, "positions": positions})
