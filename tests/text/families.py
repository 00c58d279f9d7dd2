"""A small tokenizer of each published family, as a folder in the Hugging Face layout."""

import io
import json
import random

import fuzz
import sentencepiece

LINES = [
    "ein hund läuft über die wiese .",
    "zwei hunde spielen am strand , und ein mann schaut zu .",
    "a dog runs across the meadow .",
    "two dogs are playing on the beach , and a man is watching .",
    "The quick brown fox JUMPS over 1,234 lazy dogs!",
    "ﬁne² 犬 ½ naïve café — “quoted” (ok) C++ a_b x=1; don't",
]
UNIGRAM = {"model_type": "unigram", "vocab_size": 88}
FAIRSEQ = {**UNIGRAM, "unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1}
PADDED = {**UNIGRAM, "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
BYTES = {
    "model_type": "bpe",
    "vocab_size": 340,
    "unk_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "pad_id": -1,
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
}
# For each family its model's file, how it is trained, and what its settings add.
FAMILIES = {
    "T5Tokenizer": ("spiece.model", PADDED, {"extra_ids": 100}),
    "T5Tokenizer-mt5": ("spiece.model", PADDED, {"extra_ids": 0}),
    "XLMRobertaTokenizer": ("sentencepiece.bpe.model", FAIRSEQ, {}),
    "CamembertTokenizer": ("sentencepiece.bpe.model", FAIRSEQ, {}),
    "MBartTokenizer": ("sentencepiece.bpe.model", FAIRSEQ, {"src_lang": "de_DE"}),
    "MBart50Tokenizer": ("sentencepiece.bpe.model", FAIRSEQ, {"src_lang": "fr_XX"}),
    "PegasusTokenizer": ("spiece.model", PADDED, {}),
    "MarianTokenizer": ("source.spm", FAIRSEQ, {}),
    "LlamaTokenizer": ("tokenizer.model", BYTES, {"add_bos_token": True}),
    "LlamaTokenizer-legacy": ("tokenizer.model", BYTES, {"add_bos_token": True, "legacy": True}),
    "LlamaTokenizer-bare": (
        "tokenizer.model",
        BYTES,
        {"add_bos_token": True, "add_prefix_space": False},
    ),
}
TOKENS = (
    "<s>", "</s>", "<unk>", "<pad>", "<mask>", "<mask_1>", "<mask_2>", "<unk_7>", "<extra_id_0>",
    "<extra_id_17>", "en_XX", "de_DE", ">>fra<<", ">>xyz<<", ">>", "<<", "\u2581", "<s>NOTUSED",
    "<0x41>", "<extra_id_", "a dog", "wiese", " ", "  ", "\n", "\u3000",
)  # fmt: skip


def trained(**settings) -> bytes:
    """A SentencePiece model with special ids as asked for."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, minloglevel=2, num_threads=2, **settings
    )
    return model.getvalue()


def write(folder, name):
    """The folder of a family's tokenizer; returns its path."""
    file_name, training, settings = FAMILIES[name]
    folder = folder / name
    folder.mkdir()
    proto = trained(**training)
    (folder / file_name).write_bytes(proto)
    settings = {"tokenizer_class": name.partition("-")[0], "model_max_length": 512, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if file_name == "source.spm":
        target = trained(**{**training, "vocab_size": 83})
        (folder / "target.spm").write_bytes(target)
        (folder / "vocab.json").write_text(json.dumps(_marian_ids(proto, target)))
    return folder


def strings(count, seed):
    """Random strings with special tokens among them, as bytes, some malformed."""
    rng = random.Random(seed)
    found = []
    for string in fuzz.byte_strings(count, seed):
        for _ in range(rng.choice((0, 0, 1, 2, 4))):
            token = rng.choice(TOKENS).encode()
            place = rng.choice((0, len(string), rng.randrange(len(string) + 1)))
            string = string[:place] + token + string[place:]
        found.append(string)
    return found


def _marian_ids(*protos):
    """Strings to ids as Marian's vocab.json: not all pieces, others beside, and pad last."""
    words = ["</s>", "<unk>"]
    for proto in protos:
        processor = sentencepiece.SentencePieceProcessor(model_proto=proto)
        words += [processor.id_to_piece(i) for i in range(3, processor.get_piece_size() - 9)]
    words += ["犬", ">>fra<<", ">>deu<<", "<pad>"]
    return {word: i for i, word in enumerate(dict.fromkeys(words))}
