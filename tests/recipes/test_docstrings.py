"""Documentation strings of a library as texts and summaries."""

import pytest

from recipes import docstrings


@pytest.fixture(scope="module")
def library():
    return docstrings.corpus(packages=())


def test_no_part_of_the_docstrings_has_a_name_of_another(library):
    names = [{line.partition("(")[0].lower().strip("_") for line in part.texts} for part in library]
    assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]
    assert len(library.train) > 5 * len(library.test) > 100
    summaries = [s for part in library for s in part.summaries]
    assert all("\n" not in s and 4 <= len(s.split()) <= 16 for s in summaries)


def test_first_line_and_rest_are_told_apart(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        '''
class Box(list, object):
    """Holds what was put into it.

    One two three four
    five six seven eight.
    """

    async def open(self, key, *, slowly=False):
        """Opens it with a key: first two lines,
        which is one too many.

        One two three four five six seven eight.
        """

    def shut(self, key, *, slowly=False):
        """Shuts it and keeps the key.

        One two three four five six seven eight."""
''',
        "utf-8",
    )
    rest = "One two three four five six seven eight."
    assert list(docstrings.documented(path)) == [
        ("Box", "Box(list, object)", rest, "Holds what was put into it."),
        ("shut", "shut(self, key, slowly)", rest, "Shuts it and keeps the key."),
    ]
    path.write_text("def f(:\n", "utf-8")
    assert list(docstrings.documented(path)) == []
