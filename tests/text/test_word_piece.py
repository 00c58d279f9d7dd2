"""WordPieceTokenizer: BERT's rules, reproducible training, and folders as Hugging Face has them."""

import gzip
import importlib.util
import json
import pathlib
import subprocess
import sys
import unicodedata

import pytest

from keras_transformer.text import Tokenizer, WordPieceTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINES = [
    "A dog runs across the meadow.",
    "Two dogs are playing on the beach; the beach is wide!",
    "Ein Hund läuft über die Straße, naïve Ünïcödé",
    "日本 runs ½ as far",
]
SETTINGS = [
    {},
    {"lowercase": False},
    {"lowercase": False, "strip_accents": True},
    {"strip_accents": False, "tokenize_chinese_chars": False},
]


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz", pathlib.Path(__file__).parent / "fuzz.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def tokenizer(request):
    return WordPieceTokenizer.train([LINES], 113, **request.param)


def bert_pieces(text, vocabulary):
    """BERT's rules for text of letters, ASCII punctuation and Chinese characters, lower-cased."""
    text = unicodedata.normalize("NFD", text.lower())
    text = "".join(c for c in text if unicodedata.category(c) != "Mn")
    text = "".join(f" {c} " if not c.isalnum() or "\u4e00" <= c <= "\u9fff" else c for c in text)
    found = []
    for word in text.split():
        pieces, rest = [], word
        while rest:
            marked = [("##" if pieces else "") + rest[:n] for n in range(len(rest), 0, -1)]
            piece = next((p for p in marked if p in vocabulary), None)
            if piece is None:
                pieces, rest = ["[UNK]"], ""
            else:
                pieces.append(piece)
                rest = rest[len(piece.removeprefix("##")) :]
        found += pieces
    return found


def test_words_are_cut_as_bert_cuts_them():
    tokenizer = WordPieceTokenizer.train([LINES], 113)
    vocabulary = tokenizer.engine.get_vocab()
    texts = [*LINES, "Dogs, playing wide-ranging; Überläufe straße!", "xyz dog 日dog本", "the qqq"]
    for text in texts:
        assert tokenizer.pieces(tokenizer.encode(text)) == bert_pieces(text, vocabulary)


def test_a_word_of_more_than_a_hundred_characters_is_unknown():
    tokenizer = WordPieceTokenizer.train([LINES], 113)
    assert tokenizer.unk_id not in tokenizer.encode("a" * 100)
    assert tokenizer.encode_with_offsets("dog " + "a" * 101)[1][-1] == (4, 105)
    assert tokenizer.encode("a" * 101) == [tokenizer.unk_id]


def test_offsets_are_where_the_piece_stands(tokenizer):
    text = "Two dogs, the\tbeach!"
    ids, offsets = tokenizer.encode_with_offsets(text)
    pieces = [piece.removeprefix("##") for piece in tokenizer.pieces(ids)]
    found = [text[start:end] for start, end in offsets]
    known = [(f.lower(), p.lower()) for f, p in zip(found, pieces, strict=True) if p != "[UNK]"]
    assert len(known) > 5 and all(f == p for f, p in known)


def test_special_ids_are_the_first_five(tokenizer):
    assert tokenizer.pieces(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    named = [getattr(tokenizer, f"{role}_id") for role in ("pad", "unk", "cls", "sep", "mask")]
    assert named == [0, 1, 2, 3, 4] and tokenizer.vocab_size == 113


def test_only_the_five_are_found_in_text_and_dropped(tokenizer):
    assert tokenizer.special_ids == (0, 1, 2, 3, 4)
    assert tokenizer.id_of("##s") > 4 and tokenizer.id_of("##s") not in tokenizer.encode("##s")


def test_decoding_gives_the_words_back():
    tokenizer = WordPieceTokenizer.train([LINES], 113)
    text = "two dogs are playing, the beach is wide!"
    ids = tokenizer(["Two dogs are playing, the beach is wide!"])[0].ids
    assert tokenizer.decode(ids) == text


def test_training_is_the_same_in_every_process():
    # the trainer's hash tables are seeded anew in each
    code = (
        "from keras_transformer.text import WordPieceTokenizer as W;"
        f"print(W.train([{LINES!r}], 113).fingerprint)"
    )
    wanted = WordPieceTokenizer.train([LINES], 113).fingerprint
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == wanted


def test_sources_are_files_lines_or_both(tmp_path):
    plain, packed = tmp_path / "a.txt", tmp_path / "b.gz"
    plain.write_text("\ufeff" + "\n".join(LINES[:2]), encoding="utf-8")
    packed.write_bytes(gzip.compress("\n".join(LINES[2:]).encode()))
    assert WordPieceTokenizer.train([plain, packed], 113) == WordPieceTokenizer.train([LINES], 113)
    assert WordPieceTokenizer.train([LINES[:2], packed], 113).vocab_size == 113


def test_the_alphabet_can_be_limited():
    lines = ["aaa bbb aab abb c"]
    tokenizer = WordPieceTokenizer.train([lines], 11, limit_alphabet=2)
    assert tokenizer.encode("c") == [tokenizer.unk_id] != tokenizer.encode("a")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([LINES], 10), "vocab_size=10 cannot hold the characters .* smallest possible is 54"),
        (([LINES], 9999), "vocab_size=9999 is more than this text can fill; the largest possible"),
        (([LINES], 0), "vocab_size must be a positive integer, got 0"),
        (([[" ", ""]], 10), "sources has no text to train on"),
    ],
)
def test_what_cannot_be_trained_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        WordPieceTokenizer.train(*arguments)


def test_a_vocabulary_alone_is_enough(tokenizer, tmp_path):
    folder = tokenizer.save(tmp_path)
    (folder / "tokenizer.json").unlink()
    assert WordPieceTokenizer.load(folder).encode_with_offsets(LINES) == (
        tokenizer.encode_with_offsets(LINES)
    )
    assert Tokenizer.load(folder)(LINES, LINES[::-1]) == tokenizer(LINES, LINES[::-1])


def test_an_mpnet_vocabulary_has_its_own_special_tokens(tmp_path):
    (tmp_path / "vocab.txt").write_text("<s>\n<pad>\n</s>\n[UNK]\na\ndog\n<mask>\n[CLS]\n")
    tokenizer = Tokenizer.load(tmp_path)
    [encoding] = tokenizer(["a  <mask>"], ["Dog"], offsets=True)
    assert tokenizer.pieces(encoding.ids) == ["<s>", "a", "<mask>", "</s>", "</s>", "dog", "</s>"]
    assert encoding.segments == [0] * 7
    assert encoding.offsets[2] == (3, 9)
    assert (tokenizer.pad_id, tokenizer.cls_id, tokenizer.eos_id, tokenizer.mask_id) == (1, 0, 2, 6)


def test_a_folder_without_vocabulary_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="has neither tokenizer.json nor vocab.txt"):
        WordPieceTokenizer.load(tmp_path)


def test_transformers_reads_the_folder_to_the_same_tokenizer(tokenizer, tmp_path, fuzz):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(str(tokenizer.save(tmp_path)))
    texts = LINES + fuzz.strings(1500, seed=11)
    pairs = texts[::-1]
    for ours, other in (
        (tokenizer(texts, offsets=True), theirs(texts, return_offsets_mapping=True)),
    ):
        assert [e.ids for e in ours] == other["input_ids"]
        assert [e.offsets for e in ours] == [list(map(tuple, o)) for o in other["offset_mapping"]]
    for truncation in ("longest_first", "only_first", "only_second"):
        kept = [i for i in range(len(texts)) if min(len(texts[i]), len(pairs[i])) < 9]
        firsts, seconds = [LINES[1]] * len(kept), [pairs[i][:9] for i in kept]
        if truncation == "only_second":
            firsts, seconds = seconds, firsts
        ours = tokenizer(firsts, seconds, max_length=23, truncation=truncation)
        other = theirs(firsts, seconds, max_length=23, truncation=truncation)
        assert [e.ids for e in ours] == other["input_ids"]
        assert [e.segments for e in ours] == other["token_type_ids"]
    decoded = theirs.batch_decode([e.ids for e in tokenizer(texts)], skip_special_tokens=True)
    assert tokenizer.decode([e.ids for e in tokenizer(texts)]) == decoded


def test_a_published_layout_keeps_its_settings(tokenizer, tmp_path):
    folder = tokenizer.save(tmp_path / "a")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"model_max_length": 37, "name_or_path": "somebody/something"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    again = Tokenizer.load(Tokenizer.load(folder).save(tmp_path / "b"))
    assert again.max_length == 37 and again == tokenizer
    kept = json.loads((tmp_path / "b" / "tokenizer_config.json").read_text())
    assert kept["name_or_path"] == "somebody/something"


CLASSES = ("BertTokenizer", "DistilBertTokenizerFast", "MPNetTokenizer", "PreTrainedTokenizerFast")
CHANGES = [
    {},
    {"do_lower_case": False},
    {"do_lower_case": False, "strip_accents": True},
    {"do_lower_case": True, "strip_accents": False},
    {"tokenize_chinese_chars": False},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize("class_name", CLASSES)
def test_the_settings_are_applied_as_in_transformers(tokenizer, tmp_path, class_name, changes):
    """Whatever tokenizer.json says; what the settings lack has its default, not the file's."""
    transformers = pytest.importorskip("transformers")
    folder = tokenizer.save(tmp_path)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    for key in ("do_lower_case", "strip_accents", "tokenize_chinese_chars"):
        del settings[key]
    path.write_text(json.dumps(settings | changes | {"tokenizer_class": class_name}))
    theirs = transformers.AutoTokenizer.from_pretrained(str(folder))
    ours = Tokenizer.load(folder)
    for text in [*LINES, "Two DOGS", "UNICODE Unïcode", "日本runs"]:
        encoded = theirs(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = ours.encode_with_offsets(text)
        assert ids == encoded["input_ids"], text
        assert offsets == [tuple(place) for place in encoded["offset_mapping"]], text
    assert Tokenizer.load(ours.save(tmp_path / "again")) == ours
    assert WordPieceTokenizer.from_config(ours.get_config()) == ours


def test_settings_without_a_class_win_where_they_are_there():
    definition = WordPieceTokenizer.train([LINES], 113).get_config()["definition"]
    cased = WordPieceTokenizer(definition, {"do_lower_case": False})
    plain = WordPieceTokenizer(definition, {"strip_accents": None})
    assert cased.pieces(cased.encode("Dog dog")) == ["[UNK]", "dog"]
    assert plain.pieces(plain.encode("Dog dog")) == ["dog", "dog"]


@pytest.mark.tensorflow
def test_the_graph_twin_follows_the_settings():
    pytest.importorskip("tensorflow_text")
    definition = WordPieceTokenizer.train([LINES], 113).get_config()["definition"]
    cased = WordPieceTokenizer(definition, {"do_lower_case": False})
    assert cased.graph_twin().tokenize(LINES).to_list() == cased.encode(LINES)
