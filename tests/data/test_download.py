"""Downloads: once, whole, and known by their sha256."""

import functools
import gzip
import hashlib
import http.server
import socket
import threading

import pytest

from keras_transformer.data.download import RemoteFile, fetch

TEXT = "Ein Hund läuft.\n".encode() * 999


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server(tmp_path):
    """A server of the folder `tmp_path/served`, which remembers what was asked of it."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "a.txt").write_bytes(TEXT)
    (folder / "a.txt.gz").write_bytes(gzip.compress(TEXT))
    (folder / "cut.txt.gz").write_bytes(gzip.compress(TEXT)[:-20])
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

        def do_GET(self):
            if self.path != "/broken.txt":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Length", str(len(TEXT)))
            self.end_headers()
            self.wfile.write(TEXT[:-99])  # and the connection ends
            self.close_connection = True

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        httpd.url = f"http://127.0.0.1:{httpd.server_port}"
        httpd.asked = asked
        yield httpd
        httpd.shutdown()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def contents(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("url_end", ["a.txt", "a.txt.gz"])
def test_fetched_once_and_unpacked(server, folder, url_end):
    files = [RemoteFile("raw/a.txt", f"{server.url}/{url_end}", sha256(TEXT))]
    for _ in range(2):
        (path,) = fetch(files, folder)
        assert path == folder / "raw" / "a.txt"
        assert path.read_bytes() == TEXT
    assert len(server.asked) == 1
    assert contents(folder) == ["a.txt"]


def test_archive_stays_packed_where_its_name_says_so(server, folder):
    packed = gzip.compress(TEXT)
    (path,) = fetch([RemoteFile("a.gz", f"{server.url}/a.txt.gz", sha256(packed))], folder)
    assert path.read_bytes() == packed


def test_other_content_is_refused_and_not_kept(server, folder):
    with pytest.raises(ValueError, match=f"sha256 {sha256(TEXT)}, expected {'0' * 64}"):
        fetch([RemoteFile("a.txt", f"{server.url}/a.txt", "0" * 64)], folder)
    assert contents(folder) == []


def test_file_that_is_there_is_checked_and_kept(server, folder):
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"mine")
    with pytest.raises(ValueError, match="a.txt has sha256"):
        fetch([RemoteFile("a.txt", f"{server.url}/a.txt", sha256(TEXT))], folder)
    assert (folder / "a.txt").read_bytes() == b"mine"
    assert server.asked == []


@pytest.mark.parametrize("name", ["broken.txt", "cut.txt.gz"])
def test_interrupted_download_leaves_nothing_and_can_be_repeated(server, folder, name):
    with pytest.raises((ConnectionError, ValueError), match=name):
        fetch([RemoteFile("a.txt", f"{server.url}/{name}", sha256(TEXT))], folder)
    assert contents(folder) == []
    (path,) = fetch([RemoteFile("a.txt", f"{server.url}/a.txt", sha256(TEXT))], folder)
    assert path.read_bytes() == TEXT


def test_too_large_is_refused(server, folder):
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        fetch([RemoteFile("a.txt", f"{server.url}/a.txt.gz", sha256(TEXT), 1000)], folder)
    assert contents(folder) == []


def test_missing_file_is_a_clear_error(server, folder):
    with pytest.raises(ConnectionError, match="cannot fetch .*/none.txt .HTTP Error 404"):
        fetch([RemoteFile("a.txt", f"{server.url}/none.txt", sha256(TEXT))], folder)


def test_no_network_is_a_clear_error(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConnectionError, match="cannot fetch .*refused.* put the file at .*a.txt"):
        fetch([RemoteFile("a.txt", f"http://127.0.0.1:{port}/a.txt", sha256(TEXT))], folder)
    assert contents(folder) == []
