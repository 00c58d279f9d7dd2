"""What a server does, in a process of its own: a SavedModel, TensorFlow and tokenizer operations.

python serve.py HOW FOLDER REQUESTS: answers a JSON list of [signature, input] to standard output,
as `answers`, with the modules that should not be `loaded` and the `peak` of memory in GiB.
An input is a list, or an object of lists by the names of a signature's arguments. FOLDER holds a
SavedModel, or several, and then a signature is asked for as "folder/signature". HOW is
`package` to import tensorflow_text, or `operations` to load the one library of it that is needed:
the package imports Keras, as TensorFlow does where it finds it, and here nothing shall.
"""

import functools
import json
import pathlib
import resource
import sys
from importlib import util

how, saved_model, requests = sys.argv[1:]
absent = ["keras_transformer", "sentencepiece"] + ["keras", "tf_keras"] * (how == "operations")
sys.modules.update(dict.fromkeys(absent))  # importing them fails from here on

import tensorflow as tf  # noqa: E402

if how == "package":
    import tensorflow_text  # noqa: F401
else:
    folder = pathlib.Path(util.find_spec("tensorflow_text").origin).parent
    tf.load_op_library(str(folder / "python/ops/_sentencepiece_tokenizer.so"))


def plain(tensor):
    """The values and the shape, as JSON can hold them."""
    values = tensor.numpy().ravel().tolist()
    return [x.decode() if isinstance(x, bytes) else x for x in values], tensor.shape.as_list()


def tensor(value, spec):
    """A list as a tensor."""
    if spec.dtype == tf.string:
        # latin-1 carries any bytes through JSON
        return tf.constant([text.encode("latin-1") for text in value], tf.string)
    shape = (len(value),) if spec.shape.rank == 1 else (len(value), len(value[0]))
    return tf.constant(value, spec.dtype, shape)


@functools.cache
def load(folder):
    return tf.saved_model.load(str(folder)).signatures


answers = []
for name, value in json.loads(pathlib.Path(requests).read_text(encoding="utf-8")):
    inner, _, name = name.rpartition("/")
    signature = load(pathlib.Path(saved_model) / inner)[name]
    specs = signature.structured_input_signature[1]
    value = value if isinstance(value, dict) else dict.fromkeys(specs, value)
    value = {key: tensor(x, specs[key]) for key, x in value.items()}
    try:
        answers.append({key: plain(x) for key, x in signature(**value).items()})
    except tf.errors.InvalidArgumentError as error:
        answers.append({"error": str(error)})
loaded = [name for name, module in sys.modules.items() if name.split(".")[0] in absent and module]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # GiB, from KiB
json.dump({"answers": answers, "loaded": loaded, "peak": peak}, sys.stdout)
