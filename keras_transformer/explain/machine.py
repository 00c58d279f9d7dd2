"""The facts of a machine that a measured figure depends on; nothing that names the machine."""

import datetime
import importlib.metadata
import os
import platform
import sys

PACKAGES = ("keras", "tensorflow", "tensorflow-text", "jax", "torch", "numpy", "sentencepiece")
BACKENDS = {"tensorflow", "jax", "torch"}


def environment() -> dict[str, str]:
    """Versions and hardware, as a table of text.

    It holds no name of the machine, user or folder. Of the backends, only the one in use is
    listed.

    Returns:
        What it is (`python`, `keras`, `backend`, `processor`, `cores`, ...) to what was found.

    Example:
        >>> facts = environment()
        >>> facts["python"] == platform.python_version(), int(facts["cores"]) > 0
        (True, True)
    """
    import keras

    import keras_transformer

    backend = keras.backend.backend()
    facts = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "keras_transformer": keras_transformer.__version__,
        "python": platform.python_version(),
        "backend": backend,
    }
    for package in PACKAGES:
        if package in BACKENDS and package != backend:
            continue
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    facts["dtype policy"] = keras.config.dtype_policy().name
    facts["system"] = f"{platform.system()} {platform.machine()}"
    facts["processor"] = _processor()
    facts["cores"] = str(_cores())
    accelerators = _accelerators(backend)
    if accelerators:
        facts["accelerator"] = ", ".join(accelerators)
    facts["peak memory"] = f"{peak_memory() / 2**30:.2f} GiB"
    return facts


def peak_memory() -> int:
    """The most main memory that this process has held so far, in bytes (peak resident set size).

    >>> peak_memory() > 2**20
    True
    """
    try:
        # Of this program alone: getrusage's figure on Linux starts at that of the process which
        # started this one.
        with open("/proc/self/status", encoding="utf-8") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # KiB but on macOS


def _cores() -> int:
    """The cores that this process may use, which in a container are fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _accelerators(backend: str) -> list[str]:
    """The GPUs and TPUs that the backend has in use; a backend that is not loaded has none."""
    library = sys.modules.get(backend)
    if library is None:
        return []
    if backend == "jax":
        return [device.device_kind for device in library.devices() if device.platform != "cpu"]
    if backend == "tensorflow":
        details = library.config.experimental.get_device_details
        devices = library.config.list_physical_devices("GPU")
        return [details(device).get("device_name", "GPU") for device in devices]
    return [library.cuda.get_device_name(i) for i in range(library.cuda.device_count())]
