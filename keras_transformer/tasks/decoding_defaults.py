"""How a checkpoint's makers decode it: `generation_config.json`, read and written."""

import dataclasses
import warnings

import numpy as np

from keras_transformer import generation
from keras_transformer.checkpoints.files import write_json
from keras_transformer.checkpoints.pretrained import read_fields
from keras_transformer.checkpoints.published import CONFIG
from keras_transformer.generation.decoding import check_positive
from keras_transformer.models import DecoderConfig

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
    renormalize="renormalize_logits",
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
    remove_invalid_values=False,
)
# Further ones that only a decoder alone does not do: both count its prompt
FOREIGN_AFTER_PROMPTS = dict(FOREIGN, forced_bos_token_id=None, min_length=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodingDefaults:
    """How a translator or a generator decodes where its caller does not say.

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
        renormalize: whether tokens share what those had that are forbidden, as Marian's padding is.

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
    renormalize: bool = False

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.generic):  # JSON takes Python's own numbers alone
                object.__setattr__(self, field.name, value.item())
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
        if self.renormalize:
            found.append(generation.Renormalize())
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
    fields = _fields_of(folder, is_published)
    if fields is None:
        return DecodingDefaults(), {}
    chosen = _chosen(fields)
    if "max_new_tokens" in fields:
        chosen["max_new_tokens"] = fields["max_new_tokens"]
    elif "max_length" in fields:  # which counts the decoder's first token
        chosen["max_new_tokens"] = fields["max_length"] - 1
    least = fields.get("min_new_tokens", fields.get("min_length", 1) - 1)
    chosen["min_new_tokens"] = max(least, 0)
    _warn_of_foreign(folder, fields, FOREIGN, "Translator")
    of_model = {"bos_id": "decoder_start_token_id", "eos_id": "eos_token_id"}
    of_model = {ours: fields[theirs] for ours, theirs in of_model.items() if theirs in fields}
    return _checked(folder, chosen), of_model


def read_continuing(folder, is_published):
    """What a folder says of how a decoder alone goes on with a prompt.

    How many new tokens there are at most is the caller's matter: files say how many the model can
    take, prompt included.

    Args:
        folder, is_published: as in `read_decoding`.

    Returns:
        `DecodingDefaults`, greedy where the file says nothing of beams, and `{our field: value}` of
        what the model's own configuration has otherwise: `eos_id`, one or several.

    Raises:
        ValueError: the file is no JSON object, or a value is out of its range.
    """
    fields = _fields_of(folder, is_published)
    if fields is None:
        return DecodingDefaults(beam_size=1), {}
    chosen = {"beam_size": 1, **_chosen(fields)}
    chosen["min_new_tokens"] = fields.get("min_new_tokens", 0)
    chosen.pop("forced_first_id", None)
    _warn_of_foreign(folder, fields, FOREIGN_AFTER_PROMPTS, "TextGenerator")
    of_model = {"eos_id": fields["eos_token_id"]} if "eos_token_id" in fields else {}
    return _checked(folder, chosen), of_model


def check_decoding(decoding):
    """Refuses what is no `DecodingDefaults`."""
    if not isinstance(decoding, DecodingDefaults):
        raise TypeError(f"decoding must be a DecodingDefaults, got {type(decoding).__name__}.")


def _fields_of(folder, is_published):
    """What a folder says of decoding as it stands there; None where it says nothing."""
    path = _path_of(folder)
    fields = read_fields(path)
    if not is_published and path.name != FILE_NAME:
        return None
    return {name: value for name, value in fields.items() if value is not None}


def _path_of(folder):
    path = folder / FILE_NAME
    return path if path.is_file() else folder / CONFIG


def _chosen(fields):
    """The arguments of `DecodingDefaults` that are the same with a source and with a prompt."""
    found = {ours: fields[theirs] for ours, theirs in NAMES.items() if theirs in fields}
    words = [*fields.get("bad_words_ids", ()), *([i] for i in fields.get("suppress_tokens", ()))]
    return {"early_stopping": False, **found, "bad_words": tuple(map(tuple, words))}


def _warn_of_foreign(folder, fields, foreign, task):
    found = [name for name, usual in foreign.items() if fields.get(name, usual) != usual]
    if found:
        warnings.warn(
            f"{folder} asks for {', '.join(found)}, which a {task} does not do.", stacklevel=4
        )


def _checked(folder, chosen):
    try:
        return DecodingDefaults(**chosen)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{_path_of(folder)}: {error}") from None


def write_decoding(defaults, config, folder):
    """Writes `generation_config.json`, as transformers reads it.

    Args:
        defaults: `DecodingDefaults`.
        config: the model's `TransformerConfig`, or `DecoderConfig`.
        folder: where to.
    """
    fields = {theirs: getattr(defaults, ours) for ours, theirs in NAMES.items()}
    if defaults.max_new_tokens is not None:
        fields["max_length"] = defaults.max_new_tokens + 1
    alone = isinstance(config, DecoderConfig)
    if defaults.min_new_tokens and alone:
        fields["min_new_tokens"] = defaults.min_new_tokens
    elif defaults.min_new_tokens:
        fields["min_length"] = defaults.min_new_tokens + 1
    if defaults.bad_words:
        fields["bad_words_ids"] = [list(word) for word in defaults.bad_words]
    fields = {
        "bos_token_id" if alone else "decoder_start_token_id": config.bos_id,
        "eos_token_id": config.eos_id,
        "pad_token_id": config.pad_id,
        **fields,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    write_json(folder / FILE_NAME, fields)
