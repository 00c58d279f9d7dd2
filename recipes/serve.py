"""Translate sentences with an exported SavedModel, in a process that cannot import Keras.

    python -m recipes.serve runs/quickstart/saved_model "jeudi 14 mai 1998" "2031年7月5日"

A server of your own needs `import tensorflow_text` and the last lines only. Python's
tensorflow_text imports Keras, though, and so does TensorFlow where it is installed: to show that
the SavedModel needs neither, the one kernel library it uses is loaded by itself here.
"""

import os
import pathlib
import sys
from importlib import util

sys.modules["keras"] = sys.modules["keras_transformer"] = None  # importing them fails from here on
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf  # noqa: E402

TOKENIZER_OPERATIONS = "python/ops/_sentencepiece_tokenizer.so"


def main(folder, *sentences):
    """Prints the translation of each sentence."""
    text_package = pathlib.Path(util.find_spec("tensorflow_text").origin).parent
    tf.load_op_library(str(text_package / TOKENIZER_OPERATIONS))

    translate = tf.saved_model.load(folder).signatures["serving_default"]
    found = translate(tf.constant(sentences))["translations"].numpy()
    for sentence, translation in zip(sentences, found, strict=True):
        print(f"{sentence}  ->  {translation.decode()}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
