"""Translate lines with an exported SavedModel: TensorFlow and tensorflow-text, nothing else.

python -m recipes.serve runs/quickstart/saved_model "jeudi 14 mai 1998" "2031年7月5日"
"""

import sys

import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the tokenizer's operations

if __name__ == "__main__":
    folder, *sentences = sys.argv[1:]
    model = tf.saved_model.load(folder)
    answer = model.signatures["serving_default"](tf.constant(sentences, tf.string))
    for sentence, translation in zip(sentences, answer["translations"].numpy(), strict=True):
        print(f"{sentence}  ->  {translation.decode()}")
    assert not {"keras", "keras_transformer"} & set(sys.modules), "serving needs no Keras"
