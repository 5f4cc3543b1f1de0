"""A web server for tests: files of a folder, by byte ranges, with faults on demand."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server(ThreadingHTTPServer):
    """Serves a folder; answers the next ``failing`` requests with status 503, and ranges as whole files if told."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.requests: list[tuple[str, str, str | None]] = []
        self.failing, self.ranges = 0, True

    @property
    def url(self) -> str:
        """Where the folder is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Run a server in a thread of this process."""
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.requests.append(("GET", self.path, asked))
        if self.server.failing:
            self.server.failing -= 1
            self.send_error(503)
        elif asked is None or not self.server.ranges or not Path(self.translate_path(self.path)).is_file():
            super().do_GET()
        else:
            self._send_range(Path(self.translate_path(self.path)).read_bytes(), asked)

    def _send_range(self, data: bytes, asked: str) -> None:
        first, last = (int(end) for end in asked.removeprefix("bytes=").split("-"))
        part = data[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
