"""Makes the tasks' toys, and the tokenizers' odd strings, importable for the tests beside it."""

import pathlib
import sys

TESTS = pathlib.Path(__file__).parent.parent
sys.path[:0] = [str(TESTS / name) for name in ("tasks", "text", "export")]
