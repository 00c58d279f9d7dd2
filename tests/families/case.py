"""What a comparison with a published model is made of."""

import dataclasses
import re

import numpy as np

B, T, S = 2, 6, 7


@dataclasses.dataclass(frozen=True)
class Case:
    """One family, one head, one configuration.

    Args:
        name: unique, such as "bert/classifier".
        head: our class of models, by name.
        architecture: the peer's.
        fields: the published configuration, `model_type` included.
        arguments: of our `from_pretrained`.
        left: whether padding stands on the left.
        counts: whether the peer counts real tokens by itself, and is told no positions.
        lacks: regular expressions of tensors that the peer has and we do not.
        untied: whether the peer's output embedding is untied after its constructor has tied it,
            as reading a checkpoint with two different matrices does.
    """

    name: str
    head: str
    architecture: str
    fields: dict
    arguments: dict = dataclasses.field(default_factory=dict)
    left: bool = False
    counts: bool = False
    lacks: tuple = ()
    untied: bool = False

    def __str__(self):
        return self.name

    def may_lack(self, tensor):
        return any(re.search(pattern, tensor) for pattern in self.lacks)

    @property
    def is_plain(self):
        """Whether the configuration is the family's usual one."""
        return self.name.endswith(f"/{self.head}")

    @property
    def is_seq2seq(self):
        return self.head in ("Seq2SeqLM", "Transformer")

    @property
    def reads_twice(self):
        """Whether both stacks read one text, up to the token that ends it."""
        return self.head in ("Seq2SeqClassifier", "Seq2SeqSpanExtractor")

    def tokens(self, length, seed):
        rng = np.random.default_rng(seed)
        return rng.integers(5, self.fields["vocab_size"], (B, length)).astype("int64")

    def mask(self, length):
        """The second row has two tokens of padding."""
        mask = np.ones((B, length), bool)
        if self.left:
            mask[1, :2] = False
        else:
            mask[1, -2:] = False
        return mask

    def padded(self, length, seed):
        """Token ids whose padding is the padding token, and their mask."""
        mask = self.mask(length)
        pad = self.fields.get("pad_token_id") or 0
        return np.where(mask, self.tokens(length, seed), pad), mask

    def our_inputs(self):
        if self.is_seq2seq:
            source, source_mask = self.padded(S, 1)
            target, target_mask = self.padded(T, 2)
            return {
                "encoder_token_ids": source.astype("int32"),
                "encoder_padding_mask": source_mask,
                "decoder_token_ids": target.astype("int32"),
                "decoder_padding_mask": target_mask,
            }
        tokens, mask = self.padded(T, 1)
        if self.reads_twice:
            tokens[np.arange(B), mask.sum(axis=1) - 1] = self.fields["eos_token_id"]
        inputs = {"token_ids": tokens.astype("int32"), "padding_mask": mask}
        if self.fields.get("type_vocab_size", 0) > 1:
            inputs["segment_ids"] = self.segments().astype("int32")
        return inputs

    def peer_inputs(self):
        ours = self.our_inputs()
        if self.is_seq2seq:
            return {
                "input_ids": ours["encoder_token_ids"].astype("int64"),
                "attention_mask": ours["encoder_padding_mask"].astype("int64"),
                "decoder_input_ids": ours["decoder_token_ids"].astype("int64"),
                "decoder_attention_mask": ours["decoder_padding_mask"].astype("int64"),
            }
        mask = ours["padding_mask"].astype("int64")
        inputs = {"input_ids": ours["token_ids"].astype("int64"), "attention_mask": mask}
        if "segment_ids" in ours:
            inputs["token_type_ids"] = self.segments()
        if self.left and not self.counts:
            inputs["position_ids"] = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
        return inputs

    def labels(self):
        """What a head is trained on, padding left out; None for a backbone, which has no loss."""
        rng = np.random.default_rng(3)
        num_classes = self.fields.get("num_labels", 2)
        if self.head in ("SequenceClassifier", "DecoderClassifier", "Seq2SeqClassifier"):
            problem = self.fields.get("problem_type", "single_label_classification")
            return {
                "single_label_classification": rng.integers(0, num_classes, B),
                "multi_label_classification": rng.integers(0, 2, (B, num_classes)).astype("f4"),
                "regression": rng.normal(size=(B, num_classes)).astype("f4"),
            }[problem]
        if self.head == "TokenClassifier":
            return np.where(self.mask(T), rng.integers(0, num_classes, (B, T)), -100)
        if self.head == "ReplacedTokenDetector":
            return np.where(self.mask(T), rng.integers(0, 2, (B, T)), -100)
        if self.head in ("MaskedLM", "Seq2SeqLM"):
            return np.where(self.mask(T), rng.integers(5, self.fields["vocab_size"], (B, T)), -100)
        if self.head == "CausalLM":  # the peer shifts them itself
            tokens, mask = self.padded(T, 1)
            return np.where(mask, tokens, -100)
        return None

    def our_labels(self):
        """The labels as our model takes them: those of a causal model are of the next token."""
        labels = self.labels()
        if self.head != "CausalLM":
            return labels
        return np.concatenate([labels[:, 1:], np.full((B, 1), -100)], axis=1)

    def segments(self):
        return np.tile(np.arange(T) >= T // 2, (B, 1)).astype("int64")

    def real(self):
        """Which positions of the output are compared."""
        return self.mask(T)


def heads(family, fields, architectures, variants=None, lacks=()):
    """The cases of one family: all heads, then variants of the configuration with one head.

    Args:
        family: its name.
        fields: a tiny configuration.
        architectures: {our class: the peer's}.
        variants: {name: (our class, changed fields, further arguments of `Case`)}.
        lacks: as in `Case`.
    """
    cases = [
        Case(f"{family}/{head}", head, architecture, {**fields, **labels(head)}, lacks=lacks)
        for head, architecture in architectures.items()
    ]
    for name, (head, changes, more) in (variants or {}).items():
        changed = {**fields, **labels(head), **changes}
        cases.append(
            Case(f"{family}/{name}", head, architectures[head], changed, **{"lacks": lacks, **more})
        )
    return cases


def labels(head):
    """The number of classes, for heads that have any; by padding the peer finds the last token."""
    pad = {"pad_token_id": 3} if head == "DecoderClassifier" else {}
    return {"num_labels": 3, **pad} if head.endswith("Classifier") else {}
