"""The graph twin of each family's SentencePiece tokenizer equals the Python side."""

import families
import pytest

from keras_transformer.text import SentencePieceTokenizer

pytestmark = pytest.mark.tensorflow
BATCH = 20_000  # ten of them


@pytest.fixture(scope="module", params=families.FAMILIES)
def pair(request, tmp_path_factory):
    folder = families.write(tmp_path_factory.mktemp("family"), request.param)
    tokenizer = SentencePieceTokenizer.load(folder)
    return tokenizer, tokenizer.graph_twin()


def check_equal(pair, strings):
    tokenizer, twin = pair
    encodings = tokenizer.encode_with_offsets(strings)
    ids = [found for found, _ in encodings]
    assert tokenizer.encode(strings) == ids
    assert twin.tokenize(strings).to_list() == ids
    found, starts, ends = twin.tokenize_with_offsets(strings)
    assert {t.dtype.name for t in (found, starts, ends)} == {"int32"}
    assert found.to_list() == ids
    assert starts.to_list() == [[start for start, _ in places] for _, places in encodings]
    assert ends.to_list() == [[end for _, end in places] for _, places in encodings]
    texts = [text.decode("utf-8") for text in twin.detokenize(found).numpy()]
    assert texts == [tokenizer.decode(row) for row in ids]


def test_any_bytes_give_the_same_ids_offsets_and_text(pair):
    check_equal(pair, families.strings(300, seed=11))
    check_equal(pair, [token.encode() for token in families.TOKENS] + [b"", b"\0", b"a\0b"])
    check_equal(pair, [])


@pytest.mark.exhaustive
def test_very_many_bytes_give_the_same_ids_offsets_and_text(pair):
    for seed in range(10):
        check_equal(pair, families.strings(BATCH, seed))


@pytest.mark.exhaustive
def test_every_line_of_the_real_data_gives_the_same(pair, data_dir):
    for path in sorted(data_dir.rglob("*")):
        if path.is_file():
            check_equal(pair, path.read_bytes().split(b"\n"))
