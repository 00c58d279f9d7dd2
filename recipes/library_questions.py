"""Questions about Python's standard library, and their answers: conversations without a download.

Every function of the library gives one, its questions in any order:

    Python has `textwrap.fill(text, width=70, **kwargs)`. Which arguments does it take?
    text, width, **kwargs
    What does it do?
    Fill a single paragraph of text, returning a new string.
    Which arguments may be left out?
    width
    Which module is it in?
    textwrap

What it does is the first sentence of its documentation string, of which nothing but its name tells
anything; what has none is not asked about. The other answers can be read off the call.
"""

import ast
import pathlib
import random
import sysconfig

from keras_transformer import data

FIRST = "Python has `{}`. {}"
WHAT = "What does it do?"
ARGUMENTS = "Which arguments does it take?"
OPTIONAL = "Which arguments may be left out?"
MODULE = "Which module is it in?"
NONE = "none"
LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "site-packages", "turtledemo", "ensurepip"}
MOST_WORDS, MOST_ARGUMENTS, MOST_LETTERS = 16, 6, 100


def conversations(seed=0, share=0.1):
    """Conversations about all functions but some, and about these.

    Args:
        seed: of the functions that are held out, and of the order of questions.
        share: of the functions, 0 to 1, that are held out.

    Returns:
        pair (to train on, held out) of `data.Conversations`.

    Example:

    >>> train, valid = conversations()
    >>> asked = {talk[0].content.split("`")[1] for talk in train.messages}
    >>> any(talk[0].content.split("`")[1] in asked for talk in valid.messages)
    False
    """
    rng = random.Random(seed)
    talks = [function.talk(rng) for function in functions()]
    held_out = set(rng.sample(range(len(talks)), max(1, round(share * len(talks)))))
    parts = [], []
    for n, talk in enumerate(talks):
        parts[n in held_out].append(talk)
    return tuple(
        data.Conversations("the standard library", part, list(range(1, len(part) + 1)))
        for part in parts
    )


def functions():
    """The functions of the library, `Function`s in the order of their modules."""
    folder = pathlib.Path(sysconfig.get_path("stdlib"))
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if LEFT_OUT.isdisjoint(parts) and not any(part.startswith("_") for part in parts):
            for function in _functions(path, ".".join(parts)):
                found.setdefault(function.signature, function)
    return list(found.values())


class Function:
    """A function of a module: what it does, and how it is called.

    Args:
        module: its module, with dots.
        path: its name in there, with dots where it is a class's.
        node: its definition, of `ast`.

    Example:

    >>> node = ast.parse("def fill(text, width=70, **rest): 'Fill a paragraph. Slowly.'").body[0]
    >>> Function("textwrap", "fill", node).signature
    'textwrap.fill(text, width=70, **rest)'
    """

    def __init__(self, module, path, node):
        self.module = module
        spec = node.args
        for argument in ast.walk(spec):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        if "." in path and spec.args and spec.args[0].arg in ("self", "cls"):
            del spec.args[0]
        self.signature = f"{module}.{path}({ast.unparse(spec)})"
        required = len(spec.args) - len(spec.defaults)
        self.optional = [argument.arg for argument in spec.args[required:]] + [
            argument.arg
            for argument, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
            if default is not None
        ]
        self.arguments = [argument.arg for argument in spec.posonlyargs + spec.args]
        self.arguments += [f"*{spec.vararg.arg}"] if spec.vararg else []
        self.arguments += [argument.arg for argument in spec.kwonlyargs]
        self.arguments += [f"**{spec.kwarg.arg}"] if spec.kwarg else []
        text = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
        text = text.split(". ")[0].removesuffix(".")
        is_short = text.isascii() and 2 <= text.count(" ") < MOST_WORDS
        self.summary = f"{text}." if is_short else None

    def talk(self, rng):
        """The conversation, a tuple of `data.Message`, its questions in any order."""
        turns = [
            (ARGUMENTS, ", ".join(self.arguments) or NONE),
            (OPTIONAL, ", ".join(self.optional) or NONE),
            (MODULE, self.module),
        ]
        turns += [(WHAT, self.summary)] if self.summary else []
        rng.shuffle(turns)
        turns[0] = FIRST.format(self.signature, turns[0][0]), turns[0][1]
        roles = ("user", "assistant")
        return tuple(
            data.Message(*said) for turn in turns for said in zip(roles, turn, strict=True)
        )


def _functions(path, module):
    """The functions of a file with a short signature, those of its classes too."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return
    module = module.removesuffix(".__init__")

    def visit(node, names):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield from visit(child, (*names, child.name))
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                if not child.name.startswith("_"):
                    yield Function(module, ".".join((*names, child.name)), child)

    yield from (
        function
        for function in visit(tree, ())
        if len(function.arguments) <= MOST_ARGUMENTS and len(function.signature) <= MOST_LETTERS
    )
