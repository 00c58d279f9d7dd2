"""Speed of our layers beside their peers in Keras and KerasHub.

    python -m benchmarks.layers [--json FILE]
    python -m benchmarks.layers --modes jax --pairs causal context --shapes 8 512 512 8

What is timed, compiled, with the same shapes, dtype, number of parameters and places of dropout:

    self-attention, plain, causal, with padding     keras.layers.MultiHeadAttention
    grouped-query attention, causal                 keras.layers.GroupQueryAttention
    cross-attention to a padded context             keras.layers.MultiHeadAttention
    encoder block, with padding                     keras_hub.layers.TransformerEncoder
    decoder block, without and with a context       keras_hub.layers.TransformerDecoder
    decoder block, one step with a cache            keras_hub.layers.TransformerDecoder

    forward               in inference
    train step            forward, backward of a mean-square loss, gradient descent
    train step, dropout   the same with dropout

in three modes: TensorFlow without XLA, TensorFlow with XLA, and JAX. A backend is chosen once per
process, so each mode has a process of its own, one after the other.

Ours and the peer take turns, call by call, so that whatever else the machine does slows both alike.
"faster by" is the peer's median over ours, more than 1 where ours is faster, and in brackets the
quartiles of the turns' ratios. "of peak" is the share that ours reaches of the machine's own rate
of matrix products, measured between the pairs. Without `keras-hub` its pairs are left out.
"""

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import pathlib

import tyro

# Name of a mode: (Keras backend, whether XLA compiles)
MODES = {
    "tensorflow": ("tensorflow", False),
    "tensorflow-xla": ("tensorflow", True),
    "jax": ("jax", True),
}
SHAPES = ((32, 128, 256, 4), (8, 512, 512, 8), (32, 16, 256, 4))


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the measurement."""

    modes: tuple[str, ...] = tuple(MODES)
    """Of tensorflow, tensorflow-xla and jax."""
    shapes: tuple[tuple[int, int, int, int], ...] = SHAPES
    """Rows, length, width and heads, four numbers for each shape."""
    pairs: tuple[str, ...] = ("",)
    """Words: a pair is timed when its name contains one of them."""
    dtype: str = "float32"
    """Dtype policy of the layers."""
    dropout: float = 0.1
    """Rate of dropout where there is any."""
    rounds: int = 15
    """Each layer is timed at least so many times,"""
    seconds: float = 3.0
    """and a pair for at least so many seconds."""
    product: int = 2048
    """Width of the square matrices whose product is the machine's peak."""
    quick: bool = False
    """Only see that everything runs: tiny sizes, two rounds."""
    json: pathlib.Path | None = None
    """File for the result."""


def main(settings: Settings):
    if settings.quick:
        quick = dict(shapes=((3, 6, 16, 4),), rounds=2, seconds=0.0, product=64)
        settings = dataclasses.replace(settings, **quick)
    unknown = set(settings.modes) - set(MODES)
    if unknown:
        raise ValueError(f"modes must be of {', '.join(MODES)}; received {', '.join(unknown)}")
    load = os.getloadavg()
    modes = [in_its_own_process(measure, mode, settings) for mode in settings.modes]
    result = {
        "settings": dataclasses.asdict(settings) | {"json": None},
        "load": {"before": load, "after": os.getloadavg()},
        "modes": [{name: m[name] for name in m if name != "cases"} for m in modes],
        "cases": [case for m in modes for case in m["cases"]],
    }
    show(result)
    if settings.json is not None:
        settings.json.write_text(json.dumps(result, indent=2) + "\n")


def in_its_own_process(function, *arguments):
    """What a function returns, from a new process."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def measure(mode, settings):
    """The measurement of one mode; to be called in a process that has not imported Keras."""
    backend, xla = MODES[mode]
    os.environ["KERAS_BACKEND"] = backend
    from benchmarks import layer_pairs

    return layer_pairs.measure(mode, xla, settings)


def show(result):
    """Prints a table for each shape."""
    facts = result["modes"][0]["environment"]
    print(f"\n{facts['processor']}, {facts['cores']} cores; Python {facts['python']}, ", end="")
    print(f"keras {facts['keras']}", end="")
    for package in ("tensorflow", "jax", "keras-hub"):
        versions = {m["environment"].get(package) for m in result["modes"]} - {None}
        print("".join(f", {package} {version}" for version in versions), end="")
    load = result["load"]
    print(f"; load {load['before'][0]:.1f} before, {load['after'][0]:.1f} after")
    settings = result["settings"]
    rates = (f"{m['mode']} {m['matrix_product_gflops']:.0f}" for m in result["modes"])
    print(f"{settings['dtype']}; dropout {settings['dropout']}; ", end="")
    print(f"{settings['product']}³ matrix product, GFLOP/s: {', '.join(rates)}")
    if result["modes"][0]["left_out"]:
        print("keras-hub is not installed (pip install keras-hub): its pairs are left out")
    for shape in settings["shapes"]:
        print("\n{} rows of {}, width {}, {} heads".format(*shape))
        rows = {}
        for case in result["cases"]:
            if case["shape"] == list(shape):
                key = (case["pair"], case["measure"])
                rows.setdefault(key, {})[case["mode"]] = case
        print(f"{'':34}" + "".join(f"{m['mode']:<34}" for m in result["modes"]).rstrip())
        print(f"{'':34}" + f"{'ours, ms  of peak  faster by':34}" * len(result["modes"]))
        for (pair, measure_name), cases in rows.items():
            if measure_name == "forward":
                print(pair)
            cells = "".join(cell(cases[m["mode"]]) for m in result["modes"])
            print(f"    {measure_name:30}{cells}".rstrip())


def cell(case):
    """One measured case as text, 34 characters wide."""
    ratio = case["times_ours"]
    spread = f"({ratio['low']:.2f} to {ratio['high']:.2f})"
    return (
        f"{case['ours_milliseconds']['median']:8.2f} {100 * case['ours_share_of_peak']:5.0f} %"
        f"{ratio['median']:6.2f} {spread:12}"
    ).ljust(34)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
