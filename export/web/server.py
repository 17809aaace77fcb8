"""`potstill web`: the page, served to this machine alone."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from export.session import Predictor
from export.web.config import WebConfig
from export.web.runtime import find_runtime
from export.web.site import build_site, write_site

HOST = "127.0.0.1"
MIME_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".jpg": "image/jpeg",
    ".onnx": "application/octet-stream",
}
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
        "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""The first two isolate the page: only then does a browser give it memory that threads share. The
policy lets it talk to nobody else."""


def run_web(config: WebConfig) -> None:
    """Serve the page until it is interrupted, or write it. Raises ValueError, FileNotFoundError."""
    predictor = Predictor(config.model, threads=1)  # before anything is fetched for it
    site = build_site(predictor, find_runtime(config.runtime))
    if config.out is not None:
        write_site(site, config.out)
        print(f"{config.out}: serve it with these headers, or it runs on one thread only:")
        for name in list(HEADERS)[:2]:
            print(f"  {name}: {HEADERS[name]}")
        return
    with open_server(site, config.port) as server:
        print(
            f"http://localhost:{server.server_port}/ shows {config.model.name}; Ctrl-C ends it",
            flush=True,
        )
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def open_server(site: Mapping[str, Path | bytes], port: int) -> ThreadingHTTPServer:
    """A server of exactly these paths. Raises ValueError when the port is taken."""
    if not 0 <= port <= 65535:
        raise ValueError(f"port: {port}, expected 0 to 65535")
    try:
        return ThreadingHTTPServer((HOST, port), partial(SiteHandler, site))
    except OSError as error:
        raise ValueError(f"port: {port} is not free ({error.strerror}); give another") from error


class SiteHandler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the paths of a site: a look-up, so no path leads anywhere else."""

    def __init__(self, site: Mapping[str, Path | bytes], *arguments: Any):
        self.site = site
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """A page's file."""
        content = self._find()
        if content is not None:
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        """Its headers alone."""
        self._find()

    def _find(self) -> bytes | None:
        """Send status and headers; the content, or None when there is none."""
        if not self._is_local():
            self.send_error(HTTPStatus.FORBIDDEN)
            return None
        name = urlsplit(self.path).path.removeprefix("/") or "index.html"
        if name not in self.site:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        stored = self.site[name]
        content = stored if isinstance(stored, bytes) else stored.read_bytes()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", MIME_TYPES[Path(name).suffix])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content

    def _is_local(self) -> bool:
        """Whether the browser asked for this machine by its own name: a page of another name that
        points here would otherwise read the model."""
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        return host in ("localhost", HOST)

    def end_headers(self) -> None:
        """Every answer, errors too, carries the headers of isolation."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet: the terminal shows the address alone."""
