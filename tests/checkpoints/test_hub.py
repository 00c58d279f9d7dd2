"""Models by name from a hub: a local HTTP server that answers as the hub does."""

import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest

from keras_transformer import models

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FIND = """
import sys
from keras_transformer.checkpoints.hub import find_folder
try:
    print(find_folder(sys.argv[1], *sys.argv[2:]))
except Exception as error:
    print(type(error).__name__, error)
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """One repository, `some/model`, whose files are those of `folder`."""

    folder = None
    damaged = False

    def do_HEAD(self):
        self.answer(send=False)

    def do_GET(self):
        self.answer(send=True)

    def answer(self, send):
        path = self.path.split("?")[0]
        files = sorted(p.name for p in self.folder.iterdir() if p.is_file())
        if path.startswith("/api/models/some/model"):
            body = [{"type": "file", "path": f, "size": 1, "oid": "0"} for f in files]
            if "/tree/" not in path:
                siblings = [{"rfilename": f} for f in files]
                body = {"id": "some/model", "sha": COMMIT, "siblings": siblings}
            return self.reply(json.dumps(body).encode(), {}, send)
        name = path.rsplit("/", 1)[-1]
        if not path.startswith("/some/model/resolve/") or name not in files:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        content = (self.folder / name).read_bytes()
        etag = hashlib.sha256(content).hexdigest()
        if self.damaged and name.endswith(".safetensors"):
            content = content[:-1] + b"?"
        self.reply(content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, send)

    def reply(self, body, headers, send):
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if send:
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def find(tmp_path):
    """`find(name, ..., variables)` in a process of its own, with this hub and an empty cache."""
    pytest.importorskip("huggingface_hub")
    sizes = dict(vocab_size=11, num_layers=1, hidden_dim=8, num_heads=2, ffn_dim=6, max_length=9)
    config = models.EncoderConfig(**sizes, num_segments=2)
    models.MaskedLM(config).save_pretrained(tmp_path / "served", family="bert")
    (tmp_path / "served" / "pytorch_model.bin").write_bytes(b"pickled")
    (tmp_path / "served" / "chat_template.jinja").write_text("{{ messages }}")
    hub = type("LocalHub", (Hub,), {"folder": tmp_path / "served"})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def run(*arguments, damaged=False, **variables):
        hub.damaged = damaged
        # Whoever runs the tests may be offline, or behind a proxy.
        own = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_")
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(own)},
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "HF_HOME": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_XET": "1",
            "KERAS_BACKEND": "numpy",  # imported fastest
            "PYTHONPATH": str(ROOT),
            **variables,
        }
        command = [sys.executable, "-c", FIND, *arguments]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    yield run
    server.shutdown()


def test_a_model_is_downloaded_once_and_found_offline(find):
    folder = pathlib.Path(find("some/model"))
    names = {"config.json", "model.safetensors", "chat_template.jinja"}
    assert {path.name for path in folder.iterdir()} == names
    assert models.MaskedLM.from_pretrained(folder).config.vocab_size == 11
    assert find("some/model", COMMIT, HF_HUB_OFFLINE="1") == str(folder)


@pytest.mark.slow
def test_a_damaged_download_is_noticed(find):
    assert "is damaged: its sha256 is not" in find("some/model", damaged=True)


@pytest.mark.slow
def test_what_is_not_there_is_said(find):
    assert "no such model on the hub" in find("some/other")
    assert "cache does not hold the model" in find("some/other", HF_HUB_OFFLINE="1")
