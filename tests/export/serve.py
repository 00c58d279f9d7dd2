"""What a server does, in a process of its own: a SavedModel, TensorFlow and nothing else.

python serve.py SAVED_MODEL REQUESTS: answers a JSON list of [signature, input] to standard output.
"""

import json
import sys

import tensorflow as tf
import tensorflow_text  # noqa: F401, registers the tokenizer's operations

signatures = tf.saved_model.load(sys.argv[1]).signatures
with open(sys.argv[2], encoding="utf-8") as file:
    requests = json.load(file)


def plain(tensor):
    return [
        x.decode() if isinstance(x, bytes) else x for x in tensor.numpy().ravel().tolist()
    ], tensor.shape.as_list()


answers = []
for name, value in requests:
    if name == "translate_tokens":
        value = tf.zeros([len(value), 0], tf.int32) if not any(value) else tf.constant(value)
    else:
        # latin-1 carries any bytes through JSON
        value = tf.constant([text.encode("latin-1") for text in value], tf.string)
    try:
        answers.append({key: plain(x) for key, x in signatures[name](value).items()})
    except tf.errors.InvalidArgumentError as error:
        answers.append({"error": str(error)})
loaded = [name for name in ("keras", "keras_transformer", "sentencepiece") if name in sys.modules]
json.dump({"answers": answers, "loaded": loaded}, sys.stdout)
