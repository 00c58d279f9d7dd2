"""The distribution `keras-transformer-zoo`; docs/decisions/0001-dependencies.md says why."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
INIT = (HERE / "keras_transformer" / "__init__.py").read_text(encoding="utf-8")

# A range starts at a release with all that is used and ends before the next that may break it.
BASE = [
    "keras>=3.15.1,<4",  # older releases have known loading vulnerabilities
    "ml_dtypes>=0.5,<1",  # bfloat16 for NumPy; as Keras itself
    "numpy>=2.0,<3",
    "safetensors>=0.8,<1",
    "sentencepiece>=0.2.3,<0.3",
    "sacrebleu>=2.5,<3",
    "tokenizers>=0.23,<0.24",
]
TENSORFLOW = [
    "tensorflow~=2.21.0",
    'tensorflow-text~=2.21.0; platform_system != "Windows"',  # publishes no wheels for Windows
]
# export.export_tokens; each with what serves its files, which are run before they are written
ONNX = [
    "tf2onnx~=1.17.0",  # older ones do not know NumPy 2
    "onnx>=1.20,<2",
    "onnxruntime>=1.24,<2",
]
LITERT = ["ai-edge-litert>=2.1,<3"]  # in place of tf.lite.Interpreter, which TensorFlow drops
HUB = ["huggingface_hub>=1.0,<3"]
JAX = ["jax>=0.10,<0.11"]
TORCH = ["torch==2.13.0"]  # pinned: each release is gigabytes on a machine with CUDA
PEERS = [  # what the tests of families and checkpoints compare with
    "transformers>=5.23,<6",
    "keras-hub>=0.32,<0.33",  # brings tensorflow-text, whatever the backend
    "peft>=0.21,<0.22",  # a new minor release brings new fields of its files
]
RECIPES = [
    "babel>=2.18,<3",
    "jinja2>=3.1,<4",  # the chat templates of published checkpoints
    "plotly>=7.1,<8",
    "rouge-score>=0.1.2,<0.2",
    "tensorboard>=2.20,<3",
    "tyro>=1.0,<2",
]
TEST = [
    "import-linter>=2.16,<3",
    "pytest>=9,<10",
    "pytest-xdist>=3.8,<4",
    "ruff>=0.17,<0.18",  # a new minor release brings new rules
]

setup(
    name="keras-transformer-zoo",
    version=re.search(r'^__version__ = "(.+)"$', INIT, re.MULTILINE).group(1),
    description="Transformer layers, models, training recipes and serving for Keras 3",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["keras_transformer*", "recipes*"]),
    entry_points={"console_scripts": ["keras-transformer = keras_transformer.cli:main"]},
    python_requires=">=3.11",
    install_requires=BASE,
    extras_require={
        "tensorflow": TENSORFLOW,
        "onnx": TENSORFLOW + ONNX,
        "litert": TENSORFLOW + LITERT,
        "hub": HUB,
        "jax": JAX,
        "torch": TORCH,
        "peers": TORCH + PEERS,
        "recipes": RECIPES,
        "test": TEST + TENSORFLOW + ONNX + LITERT + HUB + JAX + RECIPES,
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
