"""ByteTokenizer and CharacterTokenizer: ids as those of transformers, and text that comes back."""

import json

import fuzz
import pytest

from keras_transformer.text import ByteTokenizer, CharacterTokenizer

LINES = ["to be, or not", "né 犬 😀", "", "a\0b", " a  b ", "e\u0301\u200d"]
WRITTEN = ["a </s> b", "<extra_id_0>x<extra_id_3>", "<pad>", " <unk>\x1c", "<extra_id_", "</s></s>"]


@pytest.fixture(scope="module")
def characters():
    return CharacterTokenizer.train([LINES])


def test_bytes_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    for extra_ids in (125, 7):
        theirs, tokenizer = (
            transformers.ByT5Tokenizer(extra_ids=extra_ids),
            ByteTokenizer(extra_ids),
        )
        assert tokenizer.vocab_size == len(theirs)
        for line in [*LINES, *WRITTEN, *fuzz.strings(300, seed=3)]:
            expected = theirs(line, add_special_tokens=False)["input_ids"]
            assert tokenizer.encode(line) == expected, line
            assert tokenizer.decode(expected) == theirs.decode(expected, skip_special_tokens=True)
        assert tokenizer(["a"], ["b"])[0].ids == theirs("a", "b")["input_ids"]
        noise = [3 + byte for byte in b"a\xff\xe4\xbdb\xed\xa0\x80\xf0\x9f"]
        assert tokenizer.decode(noise) == theirs.decode(noise) == "ab"


def test_bytes_come_back_and_know_their_character():
    tokenizer = ByteTokenizer()
    for line in fuzz.strings(2000, seed=5):
        if "<" in line:  # may be a special token, which decoding drops
            continue
        ids, offsets = tokenizer.encode_with_offsets(line)
        assert tokenizer.decode(ids) == line
        spelled = [byte for c in line for byte in c.encode()]
        assert [i - 3 for i in ids] == spelled
        at = [(i, i + 1) for i, c in enumerate(line) for _ in c.encode()]
        assert offsets == at
    assert tokenizer.encode_with_offsets("a </s> b")[1] == [(0, 1), (1, 7), (7, 8)]


def test_byte_tokenizers_are_saved_for_transformers_too(tmp_path):
    tokenizer = ByteTokenizer(7, max_length=61)
    tokenizer.save(tmp_path)
    again = ByteTokenizer.load(tmp_path)
    assert again == tokenizer and again.max_length == 61 and again != ByteTokenizer(7)
    assert ByteTokenizer.from_config(json.loads(json.dumps(again.get_config()))) == tokenizer
    for other in (ByteTokenizer(0), ByteTokenizer()):
        other.save(tmp_path / "other")
        assert ByteTokenizer.load(tmp_path / "other") == other
    transformers = pytest.importorskip("transformers")
    theirs = transformers.ByT5Tokenizer.from_pretrained(str(tmp_path))
    assert len(theirs) == tokenizer.vocab_size
    assert theirs("a<extra_id_6>b")["input_ids"] == tokenizer(["a<extra_id_6>b"])[0].ids


def test_bytes_have_names():
    tokenizer = ByteTokenizer()
    assert tokenizer.pieces([0, 1, 2, 100, 259]) == ["<pad>", "</s>", "<unk>", "a", "<extra_id_0>"]
    assert [tokenizer.id_of(p) for p in ("a", "</s>", "<extra_id_0>", "ab")] == [100, 1, 259, 2]


def test_characters_come_back(characters):
    assert characters.decode(characters.encode(LINES)) == LINES
    assert "\n" in characters.characters
    assert characters.characters == "".join(sorted({*"\n".join(LINES)}))
    ids, offsets = characters.encode_with_offsets("be犬!")
    assert ids[-1] == characters.unk_id and offsets == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert characters.decode([2, *ids, 3, 0]) == "be犬\ufffd"
    assert 0 not in characters.encode("<pad></s>") and 3 not in characters.encode("<pad></s>")


def test_files_and_lines_train_alike(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("to be\nor not é".encode())
    from_file = CharacterTokenizer.train([path])
    assert from_file == CharacterTokenizer.train([["to be", "or not é"]])
    few = CharacterTokenizer.train([["aab", "bca"]], vocab_size=6)
    assert few.characters == "ab" and few.vocab_size == 6


def test_character_tokenizers_are_saved_for_the_tokenizers_library_too(characters, tmp_path):
    import tokenizers

    characters.save(tmp_path)
    again = CharacterTokenizer.load(tmp_path)
    assert again == characters
    assert CharacterTokenizer.from_config(json.loads(json.dumps(again.get_config()))) == again
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for line in [*LINES, *WRITTEN, *fuzz.strings(300, seed=7)]:
        found = theirs.encode(line)
        assert (found.ids, found.offsets) == characters.encode_with_offsets(line), line


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="extra_ids must be an integer from 0 on, got -1"):
        ByteTokenizer(-1)
    with pytest.raises(ValueError, match="once each; twice are"):
        CharacterTokenizer("aba")
    with pytest.raises(ValueError, match="one is a surrogate"):
        CharacterTokenizer("\ud800")
    with pytest.raises(ValueError, match="no text to train on"):
        CharacterTokenizer.train([[""]])
    with pytest.raises(ValueError, match="vocab_size must be above 4; got 4"):
        CharacterTokenizer.train([["a"]], 4)
    for kind in (ByteTokenizer, CharacterTokenizer):
        with pytest.raises(FileNotFoundError, match="No tokenizer at"):
            kind.load(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    with pytest.raises(ValueError, match="must name a ByT5Tokenizer .* got 'T5Tokenizer'"):
        ByteTokenizer.load(tmp_path)
    for content in ('{"model": {"type": "BPE"}}', '{"model": 3}'):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(ValueError, match="must be of type WordLevel"):
            CharacterTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text(
        json.dumps({"model": {"type": "WordLevel", "vocab": {"a": 0, "word": 1}}})
    )
    with pytest.raises(ValueError, match="then single characters"):
        CharacterTokenizer.load(tmp_path)
