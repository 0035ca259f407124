"""A server with OpenAI's protocol on loopback that does whatever a test tells it to.

It counts every request that it answers in full, by `Idempotency-Key`, as a server that charges would.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TASKS = [
    "Given the name of a river, find texts on the towns that lie on it.",
    "Decide whether a letter to a newspaper agrees with its editor.",
    "Given a recipe, find the title of a dish that goes well with it.",
]
_WORDS = [
    *("river", "bridge", "market", "garden", "winter", "letter", "doctor", "harbour", "teacher"),
    *("window", "summer", "village", "journey", "kitchen", "morning", "captain", "library"),
    *("mountain", "painter", "railway", "station", "evening", "farmer", "island", "forest"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What the server does with one request."""

    status: int = 200
    text: str | None = None
    """The answer's words; a good answer where None."""
    body: bytes | None = None
    """The whole body, in place of an answer of the protocol."""
    headers: dict[str, str] = field(default_factory=dict)
    finish: str = "stop"
    hang: bool = False
    """Never answer, until the server ends."""
    cut_after: int | None = None
    """Close the connection after so many bytes of the body."""


Play = Callable[[dict[str, Any], int], Act]
"""Takes a request's body and how often its key was seen before; returns what to do."""


class UnrulyServer:
    """The server. `url` is its address; `answered` counts full answers by key."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.seen: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.ended = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer._handle(self)

            def log_message(self, *_arguments: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        request = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        key = handler.headers["Idempotency-Key"]
        with self.lock:
            before = self.seen[key]
            self.seen[key] += 1
            self.bodies.append(request)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        act = self.play(request, before)
        if act.hang:
            self.ended.wait()
            return
        body = act.body if act.body is not None else _body(request, act)
        handler.send_response(act.status)
        for name, value in {"Content-Type": "application/json", **act.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if act.status == 200 and act.cut_after is None:
            # Charged when it leaves, as a real server would.
            with self.lock:
                self.answered[key] += 1
        try:
            handler.wfile.write(body[: act.cut_after])
            handler.wfile.flush()
        except OSError:
            pass
        handler.close_connection = True


@contextmanager
def unruly(play: Play = lambda _request, _before: Act()) -> Iterator[UnrulyServer]:
    """Run a server for the length of a `with`."""
    server = UnrulyServer(play)
    try:
        yield server
    finally:
        server.close()


def _body(request: dict[str, Any], act: Act) -> bytes:
    if act.status != 200:
        return json.dumps({"error": {"message": f"status {act.status}"}}).encode()
    text = act.text if act.text is not None else good_answer(request)
    completion = {
        "id": "1",
        "object": "chat.completion",
        "model": "served/model.gguf",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": act.finish}
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
    }
    return json.dumps(completion).encode()


def good_answer(request: dict[str, Any]) -> str:
    """Return a right answer: English, of the schema's fields, no two alike."""
    names = fields_of(request)
    if names == ["tasks"]:
        return json.dumps({"tasks": TASKS})
    return json.dumps({name: sentence(request["seed"] + 7 * place) for place, name in enumerate(names)})


def fields_of(request: dict[str, Any]) -> list[str]:
    """Return the fields that the request's schema asks for."""
    schema = request["response_format"]["json_schema"]["schema"]
    return list(schema["properties"])


def sentence(number: int) -> str:
    """Return an English sentence that depends on a number."""
    chosen = [_WORDS[(number // len(_WORDS) ** place) % len(_WORDS)] for place in range(4)]
    return (
        f"The {chosen[0]} was near the {chosen[1]}, and everybody who came there in those days "
        f"remembers how the {chosen[2]} and the {chosen[3]} looked after the rain, number {number}."
    )


def wait_until(is_so: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait for something that another thread or process does."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not happen"
        threading.Event().wait(0.01)
