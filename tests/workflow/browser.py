"""A headless Chromium without any network, driven through a pipe by the DevTools protocol: no port, no package."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Whatever is asked of the network ends at a proxy that nobody listens at.
_OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--window-size=1400,900",
    "--proxy-server=127.0.0.1:9",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]


class Page:
    """A page of a new browser: `open` it, `evaluate` in it; `errors` and `requests` say what happened meanwhile."""

    def __init__(self, profile: Path, patience: float = 240.0) -> None:
        assert CHROMIUM
        self._patience = patience
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        read_by_browser, self._out = os.pipe()
        self._in, written_by_browser = os.pipe()
        # The protocol's pipe is at the descriptors 3 and 4.
        joined = f'exec "$@" 3<&{read_by_browser} 4>&{written_by_browser}'
        command = [CHROMIUM, *_OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", joined, "bash", *command],
            pass_fds=(read_by_browser, written_by_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read_by_browser)
        os.close(written_by_browser)
        self._rest = b""
        self._sent = 0
        self._session: str | None = None
        attach = self._call("Target.attachToTarget", targetId=self._first_page(), flatten=True)
        self._session = attach["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def open(self, url: str) -> None:
        """Load a page to its end."""
        self._loaded = False
        self._call("Page.navigate", url=url)
        while not self._loaded:
            self._note(self._next())

    def evaluate(self, script: str, **where: Any) -> Any:
        """The JSON value of an expression of JavaScript, awaited where it is a promise."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, **where)
        assert "exceptionDetails" not in answer, (script, answer["exceptionDetails"])
        return answer["result"].get("value")

    def evaluate_inside(self, script: str) -> Any:
        """The value of an expression in the page's one frame, which scripts of the page cannot look into."""
        end = time.monotonic() + self._patience
        while True:
            (frame,) = self._call("Page.getFrameTree")["frameTree"]["childFrames"]
            # Empty before it holds what it is to show, when what is asked of it would be lost.
            if frame["frame"]["url"] not in ("", "about:blank"):
                world = self._call("Page.createIsolatedWorld", frameId=frame["frame"]["id"])
                return self.evaluate(script, contextId=world["executionContextId"])
            assert time.monotonic() < end, "the frame stays empty"
            time.sleep(0.05)

    def _first_page(self) -> str:
        """The page that the browser opens, which it may be asked for before it has."""
        end = time.monotonic() + self._patience
        while True:
            targets = self._call("Target.getTargets")["targetInfos"]
            if pages := [str(target["targetId"]) for target in targets if target["type"] == "page"]:
                return pages[0]
            assert time.monotonic() < end, "the browser opens no page"
            time.sleep(0.05)

    def screenshot(self) -> str:
        """What the page looks like, a PNG in base64."""
        return str(self._call("Page.captureScreenshot")["data"])

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._sent:
                assert "error" not in answer, (method, answer)
                return dict(answer["result"])
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + self._patience
        while b"\0" not in self._rest:
            ready = select.select([self._in], [], [], max(0.0, end - time.monotonic()))[0]
            assert ready, "the browser does not answer"
            chunk = os.read(self._in, 1 << 20)
            assert chunk, "the browser ended"
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, event: dict[str, Any]) -> None:
        """Keep what an event tells of errors, requests and the page's end."""
        method, params = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"].get("exception", params["exceptionDetails"])))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.errors.append(str([argument.get("value", argument) for argument in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
