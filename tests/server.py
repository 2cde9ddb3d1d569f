"""A file server whose faults are chosen: what it cuts off, stalls, refuses, changes or answers instead."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

# Google's hosts, for which the server can stand in.
DRIVE = ("https://drive.google.com", "https://drive.usercontent.google.com")

# Seconds after which the server goes on that has stalled or is held.
PATIENCE = 240.0


@dataclass
class Served:
    """A file and how it is served."""

    content: bytes
    etag: str | None = '"first"'
    modified: str | None = None
    kind: str = "application/octet-stream"
    honours_ranges: bool = True
    honours_if_range: bool = True
    says_length: bool = True
    # One entry a request, as long as there are some: the status, or how many bytes of the body until the end.
    statuses: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    stalls: list[int] = field(default_factory=list)
    seconds_a_block: float = 0.0
    # Where there is one, all but the first block of a body waits for it.
    held: threading.Event | None = None


@dataclass
class Request:
    """What was asked, and how many bytes of a file were sent."""

    path: str
    headers: dict[str, str]
    sent: int = 0


@dataclass
class FileServer:
    """The server: its address, its files by path, the pages of Drive by path, and what was asked."""

    url: str
    files: dict[str, Served] = field(default_factory=dict)
    drive: dict[str, tuple[str, Served]] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def sent(self) -> int:
        """Bytes of files sent so far."""
        return sum(request.sent for request in self.requests)

    def asked(self, path: str) -> list[Request]:
        """The requests of one path."""
        return [request for request in self.requests if request.path == path]

    def instead_of_drive(self, get: Any) -> Any:
        """A `requests.Session.get` that asks this server what was to be asked of Google."""

        def redirected(session: Any, url: str, **options: Any) -> Any:
            for host in DRIVE:
                url = url.replace(host, self.url)
            return get(session, url, **options)

        return redirected


# What Google answers for a large file: a form, in one line, that the browser sends when the user really wants it.
CONFIRM = (
    "<!DOCTYPE html><html><head><title>Virus scan warning</title></head><body><p>{name} is too large to be scanned.</p>"
    '<form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
    '<input type="submit" value="Download anyway"/><input type="hidden" name="id" value="{id}">'
    '<input type="hidden" name="export" value="download"><input type="hidden" name="confirm" value="t">'
    '<input type="hidden" name="uuid" value="0-1"></form></body></html>'
)
QUOTA = """<!DOCTYPE html><html><body>
<p class="uc-error-subcaption">Too many users have downloaded this file recently.</p></body></html>"""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: FileServer

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        request = Request(path, dict(self.headers))
        self.state.requests.append(request)
        with suppress(ConnectionError):
            if self.path in self.state.pages:
                self._page(self.state.pages[self.path])
            elif path in ("/uc", "/download") and query.get("id", [""])[0] in self.state.drive:
                name, served = self.state.drive[query["id"][0]]
                if path == "/uc" and not query.get("confirm"):
                    self._page(CONFIRM.format(name=name, id=query["id"][0]))
                else:
                    self._file(request, served, name)
            elif path in self.state.files:
                self._file(request, self.state.files[path])
            else:
                self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _page(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _file(self, request: Request, served: Served, name: str | None = None) -> None:
        if served.statuses and (status := served.statuses.pop(0)) != 200:
            return self.send_error(status)
        total, start = len(served.content), 0
        state = served.etag or served.modified
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        unchanged = not served.honours_if_range or self.headers.get("If-Range", state) == state
        if asked and served.honours_ranges and unchanged:
            start = int(asked[1])
        if start and start >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        for header, value in (("ETag", served.etag), ("Last-Modified", served.modified)):
            if value:
                self.send_header(header, value)
        if name:
            self.send_header("Content-Disposition", f'attachment; filename="{name}"')
        self.send_header("Content-Type", served.kind)
        if served.says_length:
            self.send_header("Content-Length", str(total - start))
        self.send_header("Connection", "close")
        self.close_connection = True
        self.end_headers()
        self._body(request, served, start)

    def _body(self, request: Request, served: Served, start: int) -> None:
        stop = start + served.cuts.pop(0) if served.cuts else len(served.content)
        stall = start + served.stalls.pop(0) if served.stalls else None
        block = 1 << 14
        while start < min(stop, len(served.content)):
            if start == stall:
                self.state.closing.wait(PATIENCE)
                return
            end = min(start + block, stop, stop if stall is None else stall)
            # Counted before: when all of it is there, the count is whole.
            request.sent += len(served.content[start:end])
            self.wfile.write(served.content[start:end])
            self.wfile.flush()
            start = end
            if served.held:
                served.held.wait(PATIENCE)
            time.sleep(served.seconds_a_block)


@contextmanager
def file_server() -> Iterator[FileServer]:
    """A server on a free port of this machine."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state = FileServer(f"http://127.0.0.1:{server.server_port}")
    handler.state = state  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
