"""Documentation strings and their first lines, of the Python that runs this: no download.

PEP 257 asks for one line that says what a function or class is for, a blank line, and then the
rest. So each such docstring is a text with a summary that its author has written:

    cache(self, filename, name): The first time the dataset is iterated over, its elements will
    be cached either in the specified file or in memory ...    Caches the elements in this dataset.

Sources are parsed, never imported: those of the standard library, and of those of `PACKAGES` that
are installed. Everything of one name, such as all methods called `get_config`, is in the same part,
so that no summary of the test was learned by heart from another class.

    >>> pairs = corpus(packages=()).test
    >>> len(pairs) > 50, pairs.texts[0].index("(") > 0
    (True, True)
"""

import ast
import dataclasses
import hashlib
import importlib.util
import inspect
import pathlib
import re
import sysconfig
import warnings
from typing import NamedTuple

PACKAGES = ("keras", "numpy", "tensorflow")
# Tests document what nobody calls; generated modules repeat what is documented elsewhere.
LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "site-packages", "_api", "_tf_keras"}
LENGTHS = range(4, 17)  # words of a summary
LEAST = 8  # words of what it sums up
MOST = 120
SHARES = {"test": 0.08, "validation": 0.04}


@dataclasses.dataclass(frozen=True)
class Documented:
    """Texts, each with its summary, the text without its signature, and the file it is from."""

    texts: list
    summaries: list
    bodies: list
    files: list

    def __len__(self):
        return len(self.texts)


class Corpus(NamedTuple):
    """Parts without a name in common."""

    train: Documented
    validation: Documented
    test: Documented


def corpus(packages=PACKAGES, seed=0):
    """Docstrings with their first lines, in three parts.

    Args:
        packages: names of packages besides the standard library; those not installed are left out.
        seed: of the parts.

    Returns:
        `Corpus`; the same environment gives the same one.
    """
    found, seen = {"train": [], "validation": [], "test": []}, set()
    for path, where in python_files(packages):
        for name, start, body, summary in documented(path):
            key = re.sub(r"\W+", " ", f"{body[:200]} {summary}".lower())
            if key not in seen:
                seen.add(key)
                row = (f"{start}: {body}", summary, body, where)
                found[part_of(name, seed)].append(row)
    return Corpus(*(Documented(*map(list, zip(*rows, strict=True))) for rows in found.values()))


def part_of(name, seed):
    """The part that all of a name is in."""
    digest = hashlib.sha256(f"{seed} {name.lower().strip('_')}".encode()).digest()
    place = int.from_bytes(digest[:4], "big") / 2**32
    for part, share in SHARES.items():
        if place < share:
            return part
        place -= share
    return "train"


def python_files(packages):
    """Pairs (path, its name from the package's folder on), in an order that stays the same."""
    roots = [pathlib.Path(sysconfig.get_path("stdlib"))]
    for package in packages:
        found = importlib.util.find_spec(package)
        if found is not None and found.submodule_search_locations:
            roots.append(pathlib.Path(found.submodule_search_locations[0]))
    for root in roots:
        paths = [(path.relative_to(root), path) for path in root.rglob("*.py")]
        for inside, path in sorted(paths):
            if LEFT_OUT.isdisjoint(inside.parts) and not inside.name.startswith("test"):
                yield path, f"{root.name}/{inside.as_posix()}"


def documented(path):
    """`(name, signature, body, summary)` of each function and class with such a docstring."""
    try:
        with warnings.catch_warnings():  # of old escapes in other people's strings
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # some are there to be wrong
        return
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (doc := ast.get_docstring(node, clean=False)):
            found = split(inspect.cleandoc(doc))
            if found is not None:
                yield node.name, signature(node), found[1], found[0]


def split(doc):
    """The summary of a docstring and the rest in one line; None where it has not this form."""
    summary, _, body = doc.partition("\n\n")
    if "\n" in summary.strip() or not re.match(r"[A-Z][^`]", summary) or summary[-1] not in ".:":
        return None
    words = body.split()
    if len(summary.split()) not in LENGTHS or len(words) < LEAST:
        return None
    return summary.rstrip(":"), " ".join(words[:MOST])


def signature(node):
    """A function with the names of its arguments, or a class with those of its bases."""
    if isinstance(node, ast.ClassDef):
        names = [ast.unparse(base) for base in node.bases]
    else:
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        names += [argument.arg for argument in node.args.kwonlyargs]
    return f"{node.name}({', '.join(names)})"
