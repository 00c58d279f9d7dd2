"""Sentence embeddings of a published model: ours beside those of transformers on torch.

    python -m benchmarks.embeddings FOLDER SENTENCES [--served]

FOLDER is one of sentence-transformers with mean pooling and normalisation, such as that of
all-MiniLM-L6-v2; SENTENCES a text file, of which the first 1,000 distinct lines are taken. Both
sides get the same tokens. With `--served` both get strings: ours is the SavedModel of
`tasks.TextEmbedder`, the other sentence-transformers itself. Prints the lowest and mean cosine of
the two embeddings of a sentence.
"""

import argparse
import itertools
import pathlib
import tempfile

import numpy as np

ROWS = 50


def main(folder, sentences, count, served=False):
    lines = pathlib.Path(sentences).read_text(encoding="utf-8").splitlines()
    lines = list(itertools.islice(dict.fromkeys(line for line in lines if line.strip()), count))
    if served:
        ours, theirs = serve(folder, lines), sentence_transformers(folder, lines)
    else:
        batches = [tokenize(folder, lines[i : i + ROWS]) for i in range(0, len(lines), ROWS)]
        ours, theirs = embed_here(folder, batches), embed_there(folder, batches)
    cosines = (ours * theirs).sum(-1)
    print(
        f"{len(lines)} sentences: cosine at least {cosines.min():.8f}, {cosines.mean():.8f} in the "
        f"mean; largest difference of a component {np.abs(ours - theirs).max():.1e}"
    )
    return cosines


def tokenize(folder, lines):
    """Token ids and mask of some lines."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    found = tokenizer.encode_batch(lines)
    return np.array([f.ids for f in found]), np.array([f.attention_mask for f in found])


def embed_here(folder, batches):
    """Our embeddings."""
    import keras

    from keras_transformer.models import SentenceEmbedder

    model = SentenceEmbedder.from_pretrained(folder)
    rows = [
        model({"token_ids": ids.astype("int32"), "padding_mask": mask.astype(bool)})
        for ids, mask in batches
    ]
    return np.concatenate([keras.ops.convert_to_numpy(row) for row in rows])


def embed_there(folder, batches):
    """Those of transformers: the mean of the real tokens' states, normalised."""
    import torch
    import transformers

    model = transformers.AutoModel.from_pretrained(folder).eval()
    rows = []
    for ids, mask in batches:
        ids, mask = torch.from_numpy(ids), torch.from_numpy(mask)
        with torch.no_grad():
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask[:, :, None].float()
        mean = (states * weights).sum(1) / weights.sum(1)
        rows.append(torch.nn.functional.normalize(mean, dim=-1).numpy())
    return np.concatenate(rows)


def serve(folder, lines):
    """The answers of the SavedModel."""
    import tensorflow as tf

    from keras_transformer import tasks

    with tempfile.TemporaryDirectory() as exported:
        tasks.TextEmbedder.from_pretrained(folder).export(exported)
        serving = tf.saved_model.load(exported).signatures["serving_default"]
        batches = (tf.constant(lines[i : i + ROWS]) for i in range(0, len(lines), ROWS))
        return np.concatenate([next(iter(serving(batch).values())).numpy() for batch in batches])


def sentence_transformers(folder, lines):
    """Those of the library that the model was made with."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu").encode(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", help="folder of the model")
    parser.add_argument("sentences", help="text file, a sentence a line")
    parser.add_argument("--count", type=int, default=1000, help="sentences to compare")
    parser.add_argument("--served", action="store_true", help="strings, by way of a SavedModel")
    main(**vars(parser.parse_args()))
