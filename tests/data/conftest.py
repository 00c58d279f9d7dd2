"""What the readers' tests share."""

import gzip

import pytest


@pytest.fixture
def write(tmp_path):
    """Writes a file, gzipped where its name says so, and returns its path."""

    def write(name, content):
        path = tmp_path / name
        content = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write
