"""A hub on loopback: the endpoints that a download uses, counted, with faults on demand."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


@dataclass
class FakeHub:
    """Repositories by path (`datasets/org/name`, `org/name`), and what was asked of them."""

    repositories: dict[str, dict[str, bytes]]
    fetched: Counter[str] = field(default_factory=Counter)
    """`repository/file` -> downloads begun."""
    broken: set[str] = field(default_factory=set)
    """Files whose connection breaks halfway, once each."""
    wrong: set[str] = field(default_factory=set)
    """Files that arrive with other content than the hub says."""
    url: str = ""

    def describe(self, name: str) -> dict[str, Any]:
        """Return what the API says of a repository."""
        siblings = []
        for path, content in self.repositories[name].items():
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            row: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": blob}
            if path.endswith((".gz", ".safetensors")):
                digest = hashlib.sha256(content).hexdigest()
                row["lfs"] = {"size": len(content), "sha256": digest, "pointerSize": 1}
            siblings.append(row)
        short = name.removeprefix("datasets/")
        return {"id": short, "modelId": short, "sha": COMMIT, "siblings": siblings, "tags": []}


class _Handler(BaseHTTPRequestHandler):
    """Answers for the hub that its server carries."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    @property
    def _hub(self) -> FakeHub:
        return self.server.hub  # type: ignore[attr-defined]

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        if path.startswith("api/"):
            self._tell(path.removeprefix("api/"))
            return
        name, _, rest = path.partition("/resolve/")
        self._hand_out(name, rest.partition("/")[2], with_body=with_body)

    def _tell(self, path: str) -> None:
        kind, _, rest = path.partition("/")
        name = rest.split("/revision/")[0]
        key = f"datasets/{name}" if kind == "datasets" else name
        if key in self._hub.repositories:
            self._send(200, json.dumps(self._hub.describe(key)).encode(), {})
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _hand_out(self, name: str, file: str, *, with_body: bool) -> None:
        content = self._hub.repositories[name][file]
        tag = hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if not with_body:
            self._send(200, content, headers, sent=0)
            return
        key = f"{name}/{file}"
        self._hub.fetched[key] += 1
        if key in self._hub.wrong:
            content = bytes(reversed(content))
        asked = self.headers.get("Range")
        if asked:
            start = int(asked.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._send(206, content[start:], headers)
        elif key in self._hub.broken:
            self._hub.broken.discard(key)
            self._send(200, content, headers, sent=len(content) // 2)
            self.close_connection = True
        else:
            self._send(200, content, headers)

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str], *, sent: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:sent])


@contextmanager
def serve(repositories: Mapping[str, Mapping[str, bytes]]) -> Iterator[FakeHub]:
    """Serve repositories until the block ends."""
    hub = FakeHub({name: dict(files) for name, files in repositories.items()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hub = hub  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
