"""How a checkpoint's makers decode it: `generation_config.json`, read and written."""

import dataclasses
import warnings

from keras_transformer import generation
from keras_transformer.checkpoints.files import write_json
from keras_transformer.checkpoints.pretrained import read_fields
from keras_transformer.checkpoints.published import CONFIG
from keras_transformer.generation.decoding import check_positive

FILE_NAME = "generation_config.json"

# Ours and theirs of those that are only named differently
NAMES = dict(
    beam_size="num_beams",
    length_penalty="length_penalty",
    early_stopping="early_stopping",
    repetition_penalty="repetition_penalty",
    no_repeat_ngram_size="no_repeat_ngram_size",
    forced_first_id="forced_bos_token_id",
    forced_last_id="forced_eos_token_id",
)
# Theirs that change what is generated and are not ours, with the value that changes nothing
FOREIGN = dict(
    do_sample=False,
    num_beam_groups=1,
    encoder_no_repeat_ngram_size=0,
    encoder_repetition_penalty=1.0,
    exponential_decay_length_penalty=None,
    sequence_bias=None,
    begin_suppress_tokens=None,
    guidance_scale=1.0,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodingDefaults:
    """How a translator decodes where its caller does not say.

    Args:
        beam_size: hypotheses kept for each text; 1 is greedy search.
        length_penalty: as in `generation.BeamSearch`.
        early_stopping: as there; published checkpoints have False where they say nothing.
        max_new_tokens: tokens of a target at most, its end included; None: by the source.
        min_new_tokens: tokens of a target before its end; 0 for no minimum.
        repetition_penalty: θ of `generation.RepetitionPenalty`; 1 for none.
        no_repeat_ngram_size: n of `generation.NoRepeatNgram`; 0 for none.
        bad_words: what `generation.BadWords` forbids.
        forced_first_id: the first token of every target, such as mBART-50's language; or None.
        forced_last_id: the last token that the limit allows, as in BART; or None.

    Raises:
        ValueError: a value is out of its range.

    Example:

    >>> DecodingDefaults(no_repeat_ngram_size=3, forced_last_id=2).processors()
    (NoRepeatNgram(size=3), ForcedLastToken(token=2))
    """

    beam_size: int = 5
    length_penalty: float = 1.0
    early_stopping: bool | str = "never"
    max_new_tokens: int | None = None
    min_new_tokens: int = 0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    bad_words: tuple = ()
    forced_first_id: int | None = None
    forced_last_id: int | None = None

    def __post_init__(self):
        if self.max_new_tokens is not None:
            check_positive("max_new_tokens", self.max_new_tokens)
        self.method()  # checks the rest

    def processors(self):
        """The logit processors, in the order in which transformers applies them."""
        found = []
        if self.repetition_penalty != 1:
            found.append(generation.RepetitionPenalty(self.repetition_penalty))
        if self.no_repeat_ngram_size:
            found.append(generation.NoRepeatNgram(self.no_repeat_ngram_size))
        if self.bad_words:
            found.append(generation.BadWords(self.bad_words))
        if self.min_new_tokens:
            found.append(generation.MinNewTokens(self.min_new_tokens))
        if self.forced_first_id is not None:
            found.append(generation.ForcedFirstToken(self.forced_first_id))
        if self.forced_last_id is not None:
            found.append(generation.ForcedLastToken(self.forced_last_id))
        return tuple(found)

    def method(self, beam_size=None, length_penalty=None, n_best=1):
        """The decoding method; None stands for the default. Greedy where the beam is one wide."""
        beam_size = self.beam_size if beam_size is None else beam_size
        length_penalty = self.length_penalty if length_penalty is None else length_penalty
        processors = self.processors()
        beam = generation.BeamSearch(  # checks them
            beam_size, length_penalty, n_best, self.early_stopping, processors
        )
        return generation.Greedy(length_penalty, processors) if beam_size == 1 else beam


def read_decoding(folder, is_published):
    """What a folder says of decoding.

    Args:
        folder: with `generation_config.json`; without it, `config.json` may say the same, as it did
            in older releases of transformers.
        is_published: whether the folder is in the layout of a published family, whose search is
            that of transformers where the file says nothing of it.

    Returns:
        `DecodingDefaults`, and `{our field: value}` of what the model's own configuration has
        otherwise: `bos_id`, which the decoder starts with, and `eos_id`.

    Raises:
        ValueError: the file is no JSON object, or a value is out of its range.
    """
    path = folder / FILE_NAME
    fields = read_fields(path if path.is_file() else folder / CONFIG)
    if not is_published and not path.is_file():
        return DecodingDefaults(), {}
    fields = {name: value for name, value in fields.items() if value is not None}
    chosen = {"early_stopping": False}
    chosen |= {ours: fields[theirs] for ours, theirs in NAMES.items() if theirs in fields}
    if "max_new_tokens" in fields:
        chosen["max_new_tokens"] = fields["max_new_tokens"]
    elif "max_length" in fields:  # which counts the decoder's first token
        chosen["max_new_tokens"] = fields["max_length"] - 1
    least = fields.get("min_new_tokens", fields.get("min_length", 1) - 1)
    chosen["min_new_tokens"] = max(least, 0)
    words = [*fields.get("bad_words_ids", ()), *([i] for i in fields.get("suppress_tokens", ()))]
    chosen["bad_words"] = tuple(map(tuple, words))
    foreign = [name for name, usual in FOREIGN.items() if fields.get(name, usual) != usual]
    if foreign:
        warnings.warn(
            f"{path.parent} asks for {', '.join(foreign)}, which a Translator does not do.",
            stacklevel=3,
        )
    of_model = {"bos_id": "decoder_start_token_id", "eos_id": "eos_token_id"}
    of_model = {ours: fields[theirs] for ours, theirs in of_model.items() if theirs in fields}
    try:
        return DecodingDefaults(**chosen), of_model
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def write_decoding(defaults, config, folder):
    """Writes `generation_config.json`, as transformers reads it.

    Args:
        defaults: `DecodingDefaults`.
        config: the model's `TransformerConfig`.
        folder: where to.
    """
    fields = {theirs: getattr(defaults, ours) for ours, theirs in NAMES.items()}
    if defaults.max_new_tokens is not None:
        fields["max_length"] = defaults.max_new_tokens + 1
    if defaults.min_new_tokens:
        fields["min_length"] = defaults.min_new_tokens + 1
    if defaults.bad_words:
        fields["bad_words_ids"] = [list(word) for word in defaults.bad_words]
    fields = {
        "decoder_start_token_id": config.bos_id,
        "eos_token_id": config.eos_id,
        "pad_token_id": config.pad_id,
        **fields,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    write_json(folder / FILE_NAME, fields)
