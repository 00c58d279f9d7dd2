"""Batches of sentence pairs: what is in them, in which order, at what cost."""

import importlib.util
import pathlib
import pickle
import re
import time

import numpy as np
import pytest

from keras_transformer import data, text

# Tests are no package: the neighbour is loaded by its path.
_spec = importlib.util.spec_from_file_location("toy", pathlib.Path(__file__).with_name("toy.py"))
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

SOURCE, TARGET = toy.pairs()
BUDGET = 101


def make(source=SOURCE, target=TARGET, tokens_per_batch=BUDGET, **kwargs):
    return data.ParallelBatches(source, target, toy.Letters(), tokens_per_batch, **kwargs)


def epoch_of(batches, epoch):
    return [batches.batch(epoch, step) for step in range(len(batches))]


def rows_of(batch):
    """Each row's real tokens, side by side: (encoder, decoder, labels)."""
    x, y = batch
    rows = []
    for i in range(len(y)):
        encoder = x["encoder_token_ids"][i][x["encoder_padding_mask"][i]]
        decoder = x["decoder_token_ids"][i][x["decoder_padding_mask"][i]]
        rows.append((encoder.tolist(), decoder.tolist(), y[i][y[i] != -100].tolist()))
    return rows


def equal(batch, other):
    (x, y), (x2, y2) = batch, other
    same = [np.array_equal(x[key], x2[key]) for key in x]
    return x.keys() == x2.keys() and all(same) and np.array_equal(y, y2)


# What is in a batch


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("epoch", [0, 1, 13])
def test_an_epoch_is_the_corpus(shuffle, epoch):
    tokenizer = toy.Letters()
    expected = sorted(
        (s + [3], [2] + t, t + [3])
        for s, t in zip(tokenizer.encode(SOURCE), tokenizer.encode(TARGET), strict=True)
    )
    found = [row for batch in epoch_of(make(shuffle=shuffle), epoch) for row in rows_of(batch)]
    assert sorted(row for row in found if row[0]) == expected
    assert all(row == ([], [], []) for row in found if not row[0])


def test_shapes_dtypes_and_padding():
    batches = make()
    for x, y in epoch_of(batches, 0):
        rows, target = y.shape
        shape = (rows, x["encoder_token_ids"].shape[1], target)
        assert shape in batches.shapes
        assert rows == BUDGET // target
        assert {k: v.shape[0] for k, v in x.items()} == dict.fromkeys(x, rows)
        for side in ("encoder", "decoder"):
            ids, mask = x[f"{side}_token_ids"], x[f"{side}_padding_mask"]
            assert (ids.dtype, mask.dtype, ids.shape) == (np.int32, bool, mask.shape)
            assert (ids[~mask] == toy.Letters.pad_id).all()
            assert (mask[:, :-1] >= mask[:, 1:]).all()  # padding stands on the right
        assert y.dtype == np.int32
        assert ((y == -100) == ~x["decoder_padding_mask"]).all()


def test_one_batch_at_most_has_empty_rows():
    for epoch in range(3):
        holes = [sum(not row[0] for row in rows_of(b)) for b in epoch_of(make(), epoch)]
        assert sum(n > 0 for n in holes) <= 1


def test_figures_are_those_of_an_epoch():
    batches = make()
    epoch = epoch_of(batches, 5)
    source = sum(x["encoder_padding_mask"].sum() for x, _ in epoch)
    target = sum((y != -100).sum() for _, y in epoch)
    slots = sum(x["encoder_token_ids"].size + y.size for x, y in epoch)
    assert (batches.num_source_tokens, batches.num_target_tokens) == (source, target)
    assert batches.padding_share == pytest.approx(1 - (source + target) / slots, abs=1e-12)
    assert batches.num_batches == len(batches) == len(epoch)
    assert batches.num_pairs == len(SOURCE)
    described = batches.describe()
    assert f"padding {100 * batches.padding_share:.1f} %" in described
    assert f"{target:,} target tokens" in described


# Order


def test_a_batch_depends_on_seed_epoch_and_step_alone():
    first, second = make(seed=5), make(seed=5)
    order = [(e, s) for e in (0, 7, 2) for s in range(len(first))]
    forwards = {key: first.batch(*key) for key in order}
    backwards = {key: second.batch(*key) for key in reversed(order)}
    assert all(equal(forwards[key], backwards[key]) for key in order)


def test_seeds_and_epochs_shuffle_pairs_and_batches():
    batches = make(seed=5)
    base = epoch_of(batches, 0)
    for other in (epoch_of(batches, 1), epoch_of(make(seed=6), 0)):
        assert sum(equal(a, b) for a, b in zip(base, other, strict=True)) <= 1
        assert {str(rows_of(b)) for b in base}.isdisjoint(str(rows_of(b)) for b in other)
        assert [y.shape for _, y in base] != [y.shape for _, y in other]


def test_without_shuffling_all_epochs_are_one():
    batches = make(shuffle=False)
    assert all(equal(a, b) for a, b in zip(epoch_of(batches, 0), epoch_of(batches, 3), strict=True))


def test_pairs_meet_others_in_every_epoch():
    batches = make(num_shapes=4)
    seen = {}
    for epoch in range(12):
        for batch in epoch_of(batches, epoch):
            sources = frozenset(str(row[0]) for row in rows_of(batch) if row[0])
            for source in sources:
                seen.setdefault(source, set()).add(sources)
    assert np.mean([len(batches) for batches in seen.values()]) > 11


def test_the_stream_is_all_epochs_in_one_row():
    batches = make()
    for start in (0, 1, len(batches) - 1, 3 * len(batches) + 2):
        stream = batches.stream(start)
        assert stream.num_batches is None
        for i in (0, 1, 5, 2 * len(batches)):
            assert equal(stream[i], batches.batch(*divmod(start + i, len(batches))))


def test_items_are_the_epoch_under_way():
    batches = make()
    for epoch in range(3):
        batches.on_epoch_begin()
        assert all(equal(batches[i], batches.batch(epoch, i)) for i in range(len(batches)))
        batches.on_epoch_end()
        batches.on_epoch_end()  # Keras ends epochs that it did not begin, to reset
    assert batches.epoch == 3


def test_pickled_batches_are_the_same():
    batches = make()
    copy = pickle.loads(pickle.dumps(batches))
    assert equal(copy.batch(4, 2), batches.batch(4, 2))


# What comes in


def test_paths_lists_and_parallel_text_are_the_same_corpus(tmp_path):
    (tmp_path / "s").write_text("\n".join(SOURCE) + "\n")
    (tmp_path / "t").write_text("\n".join(TARGET) + "\n")
    paths = tmp_path / "s", tmp_path / "t"
    text = data.read_parallel(*paths)
    base = make().batch(1, 1)
    for source, target in (paths, map(str, paths), text, (text, None)):
        assert equal(make(source, target).batch(1, 1), base)


def test_blank_pairs_are_counted():
    batches = make(["ab", "", "c"], ["d", "e", "fg"])
    assert (batches.num_pairs, batches.num_blank) == (2, 1)
    assert "1 blank pairs left out" in batches.describe()


def test_the_cache_spares_the_tokenizer(tmp_path):
    first = make(cache_dir=tmp_path)

    class Unable(toy.Letters):
        def encode(self, lines):
            raise AssertionError("tokenised again")

    second = data.ParallelBatches(SOURCE, TARGET, Unable(), BUDGET, cache_dir=tmp_path)
    assert equal(first.batch(1, 1), second.batch(1, 1))


def test_too_long_a_pair_is_named(tmp_path):
    (tmp_path / "s").write_text("ab\n\nabcdef\n")
    (tmp_path / "t").write_text("ab\nab\nab\n")
    paths = tmp_path / "s", tmp_path / "t"
    message = f"{paths[0]}:3: 7 tokens with the end, max_length is 6"
    with pytest.raises(ValueError, match=re.escape(message)):
        make(*paths, max_length=6)
    assert make(*paths, max_length=7).num_truncated == 0
    with pytest.raises(ValueError, match="target:2: 5 tokens with the end, max_length is 4"):
        make(["ab", "ab"], ["a", "bcde"], max_length=4)


def test_a_template_and_a_start_are_those_of_the_tokenizer_and_the_model():
    tokenizer = toy.Letters()
    tokenizer.template = text.Template.of([7, "A", 3, 8], [7, "A", "B", 3, 8])
    settings = dict(tokens_per_batch=12, max_length=6, truncate=True, start_id=9)
    batches = data.ParallelBatches(["abcdef"], ["ab"], tokenizer, **settings)
    assert rows_of(batches.batch(0, 0))[0] == (
        [7, 4, 5, 6, 3, 8],
        [9, 7, 4, 5, 3],
        [7, 4, 5, 3, 8],
    )
    with pytest.raises(ValueError, match="source:1: 9 tokens with the end, max_length is 8"):
        data.ParallelBatches(["abcdef"], ["ab"], tokenizer, max_length=8)


def test_truncated_pairs_end_as_others_do_and_are_counted():
    batches = make(["abcdef", "ab", "abc"], ["abc", "abcde", "abc"], max_length=4, truncate=True)
    assert batches.num_truncated == 2
    assert "2 truncated" in batches.describe()
    rows = [row for b in epoch_of(batches, 0) for row in rows_of(b) if row[0]]
    abc = [4, 5, 6]
    assert sorted(rows) == sorted(
        [(abc + [3], [2] + abc, abc + [3])] * 2 + [([4, 5, 3], [2] + abc, abc + [3])]
    )


def test_a_budget_of_both_sides_bounds_a_batch():
    batches = make(tokens_per_batch=4 * BUDGET, count="both")
    for shape in batches.shapes:
        assert shape.rows == 4 * BUDGET // (shape.source + shape.target)
    rows = [row for batch in epoch_of(batches, 0) for row in rows_of(batch) if row[0]]
    assert len(rows) == len(SOURCE)


@pytest.mark.parametrize(
    "kwargs, error, message",
    [
        ({"target": TARGET[:-2]}, ValueError, "source has 151, target has 149"),
        ({"source": [], "target": []}, ValueError, "no sentence pairs"),
        ({"source": "a.de"}, TypeError, "two paths or two lists"),
        ({"source": SOURCE, "target": None}, TypeError, "two paths or two lists"),
        ({"source": [1, 2], "target": ["a", "b"]}, TypeError, "source.0. must be a str; got int"),
        ({"source": "none.de", "target": "none.en"}, FileNotFoundError, "none.de"),
        ({"tokens_per_batch": 0}, ValueError, "tokens_per_batch must be an int of at least 1"),
        ({"tokens_per_batch": 7}, ValueError, "tokens do not fit into tokens_per_batch=7"),
        (
            {"tokens_per_batch": 20, "count": "both"},
            ValueError,
            "source:3: .* at least 40, .*; got 20",
        ),
        ({"count": "source"}, ValueError, "count must be one of .'target', 'both'.; got 'source'"),
        ({"num_shapes": 0}, ValueError, "num_shapes"),
        ({"max_padding": 1.0}, ValueError, "max_padding"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 0.5}, ValueError, "seed"),
        ({"max_length": 1}, ValueError, "max_length"),
    ],
)
def test_bad_arguments_are_refused(kwargs, error, message):
    with pytest.raises(error, match=message):
        make(**kwargs)


def test_bad_steps_are_refused():
    batches = make()
    for step in (-1, len(batches)):
        with pytest.raises(IndexError, match="step"):
            batches.batch(0, step)
    with pytest.raises(ValueError, match="start_step"):
        batches.stream(-1)


# What it costs


def test_batches_are_assembled_fast():
    source, target = toy.pairs(1999, longest=29)
    batches = make(source, target, tokens_per_batch=8192)
    batches.batch(0, 0)  # which draws the epoch's order

    def seconds():
        start = time.perf_counter()
        batches.batch(0, 0)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(20)) < 3e-3


def test_multi30k_has_ten_percent_padding(data_dir):
    pairs = data.multi30k.load(data_dir / "multi30k", "train", "tok")
    tokenizer = text.SentencePieceTokenizer.train([pairs.source, pairs.target], vocab_size=10_000)
    batches = data.ParallelBatches(
        pairs, None, tokenizer, tokens_per_batch=8192, num_shapes=24, max_padding=0.1
    )
    print(batches.describe())
    assert batches.padding_share <= 0.1
    assert len(batches.shapes) <= 20
    epoch = epoch_of(batches, 1)
    real = sum(x["encoder_padding_mask"].sum() + (y != -100).sum() for x, y in epoch)
    slots = sum(x["encoder_token_ids"].size + y.size for x, y in epoch)
    assert 1 - real / slots <= 0.1
