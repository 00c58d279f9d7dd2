"""Vocabularies that are learned from texts of any size, however small."""

import re


def train_vocabulary(train, vocab_size):
    """A tokenizer with a vocabulary of `vocab_size`, or the largest that the text can fill.

    Args:
        train: function of the size to a tokenizer, with the error of `text`'s trainers where the
            text cannot fill it.
        vocab_size: wanted.
    """
    try:
        return train(vocab_size)
    except ValueError as error:
        largest = re.search(r"the largest possible is (\d+)", str(error))
        if largest is None:
            raise
    print(f"the text fills a vocabulary of {largest[1]}, not of {vocab_size} (--vocab-size)")
    return train(int(largest[1]))
