"""Records held out for validation."""

import pytest

from keras_transformer import data


def readers(write):
    lines = [f"t{n}\tl{n}" for n in range(40)]
    table = "\n".join(lines)
    yield data.read_table(write("a.tsv", table), ["x", "y"], header=["x", "y"])
    yield data.read_pairs(write("a.tsv", table), [0, 1], header=False)
    yield data.read_conll(write("a.conll", "\n\n".join(lines)))
    spans = "\n".join(f'{{"text": "t{n}", "spans": [[0, 1, "l{n}"]]}}' for n in range(40))
    yield data.read_spans(write("a.jsonl", spans))
    talks = "\n".join(f'{{"prompt": "t{n}", "completion": "l{n}"}}' for n in range(40))
    yield data.read_messages(write("b.jsonl", talks))
    triples = write("b.tsv", "\n".join(f"{line}\tn{n}" for n, line in enumerate(lines)))
    yield data.read_triples(triples, [0, 1, 2], header=False)


def records_of(text):
    """All that belongs to each record, its line first."""
    if isinstance(text, data.Table):
        return list(zip(text.lines, text.texts("x"), text.labels("y"), strict=True))
    fields = {
        data.ParallelText: ("source", "target"),
        data.TaggedText: ("tokens", "tags"),
        data.SpanText: ("texts", "spans"),
        data.Conversations: ("messages",),
        data.TextTriples: ("anchors", "positives", "negatives"),
    }[type(text)]
    return list(zip(text.lines, *(getattr(text, name) for name in fields), strict=True))


def test_both_parts_are_the_whole_in_its_order(write):
    for text in readers(write):
        train, valid = data.hold_out(text, share=0.15, seed=3)
        assert type(train) is type(valid) is type(text)
        assert (len(train), len(valid)) == (34, 6)
        whole = records_of(text)
        assert [r for r in whole if r in records_of(train)] == records_of(train)
        assert [r for r in whole if r in records_of(valid)] == records_of(valid)
        assert sorted(records_of(train) + records_of(valid)) == sorted(whole)


def test_the_seed_decides():
    records = list(range(997))
    assert data.hold_out(records, seed=1) == data.hold_out(records, seed=1)
    assert data.hold_out(records, seed=1) != data.hold_out(records, seed=2)
    assert len(data.hold_out(records)[1]) == 100


def test_neither_part_is_empty():
    assert [len(part) for part in data.hold_out([1, 2, 3], 0.01)] == [2, 1]
    assert [len(part) for part in data.hold_out([1, 2, 3], 0.99)] == [1, 2]
    with pytest.raises(ValueError, match="records must be at least 2 to hold some of them out; go"):
        data.hold_out([1])
    for share in (0, 1, -0.5):
        with pytest.raises(ValueError, match="share must be more than 0 and less than 1"):
            data.hold_out([1, 2], share)
