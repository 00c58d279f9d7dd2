"""What all tests share: quiet and modest backends, one seed, and the optional data folder."""

import os
import pathlib

# Before Keras is imported: TensorFlow's start-up notes hide failures, and two test processes that
# share two cores should not start a thread per core each.
THREADS = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", THREADS)
os.environ.setdefault("TF_NUM_INTEROP_THREADS", THREADS)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import keras  # noqa: E402
import pytest  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items):
    # What takes minutes by itself starts first, so that no process waits for it at the end.
    items.sort(key=lambda item: "test_killed_runs" not in item.nodeid)
    if keras.backend.backend() == "tensorflow":
        return
    skip = pytest.mark.skip(reason="about TensorFlow; this run is on another backend")
    for item in items:
        if "tensorflow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def seed():
    """Every test starts from the same random state, so that its order does not matter."""
    keras.utils.set_random_seed(7)
    return 7


@pytest.fixture(autouse=True)
def float32_policy():
    """A test that sets a dtype policy does not leak it into the next."""
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture(scope="session")
def data_dir():
    """The real corpora: $KERAS_TRANSFORMER_DATA, or `shared/data` beside the checkout."""
    folder = os.environ.get("KERAS_TRANSFORMER_DATA", ROOT.parent / "shared" / "data")
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder} (KERAS_TRANSFORMER_DATA names another)")
    return folder
