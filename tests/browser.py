"""A headless Chromium that is driven through its DevTools protocol: what a page says, asks for, draws and shows."""

import asyncio
import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

_QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"),
    *("--disable-default-apps", "--disable-extensions", "--metrics-recording-only", "--no-proxy-server"),
    # Nothing that it asks for leaves the machine.
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-port=0"),
)
_PATIENCE_SECONDS = 240


class Browser:
    """One page. What it said and asked for since it was opened is in `said` and `requests`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._number = socket, 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.said: list[str] = []
        self.requests: list[str] = []
        self.session = ""

    async def call(self, method: str, **params: Any) -> Any:
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        message = {"id": self._number, "method": method, "params": params}
        await self._socket.send_json(message | ({"sessionId": self.session} if self.session else {}))
        return await asyncio.wait_for(answer, _PATIENCE_SECONDS)

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page; a promise's when it is there."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until it is true."""
        for _ in range(10 * _PATIENCE_SECONDS):
            if value := await self.evaluate(expression):
                return value
            await asyncio.sleep(0.1)
        raise AssertionError(f"never true: {expression}")

    async def open(self, url: str, width: int, height: int, *, dark: bool = False) -> None:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=scheme)
        await self.resize(width, height)
        self.said.clear()
        self.requests.clear()
        await self.call("Page.navigate", url=url)

    async def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)

    async def move(self, x: float, y: float) -> None:
        """Bring the pointer there."""
        await self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    async def picture(self, path: Path) -> None:
        """The whole page."""
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(b64decode(answer["data"]))

    async def listen(self) -> None:
        async for message in self._socket:
            event = json.loads(message.data)
            if "id" in event:
                answer = self._answers.pop(event["id"])
                if not answer.done():
                    answer.set_result(event.get("result") or {})
                continue
            params = event.get("params", {})
            if event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                self.said.append(str(params["args"]))
            elif event["method"] == "Runtime.exceptionThrown":
                self.said.append(str(params["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                self.said.append(params["entry"]["text"])
            elif event["method"] == "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"][:200])


def chromium() -> str | None:
    """Debian's, or none."""
    return shutil.which("chromium")


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Browser]:
    """A browser with a profile of its own below the folder."""
    program = chromium()
    assert program is not None, "Chromium is not installed: apt-get install chromium"
    profile = folder / "profile"
    process = subprocess.Popen(
        [program, *_QUIET, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )
    try:
        port, path = await _address(profile / "DevToolsActivePort")
        url = f"ws://127.0.0.1:{port}{path}"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket:
            made = Browser(socket)
            listener = asyncio.create_task(made.listen())
            target = (await made.call("Target.createTarget", url="about:blank"))["targetId"]
            attached = await made.call("Target.attachToTarget", targetId=target, flatten=True)
            made.session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                await made.call(f"{domain}.enable")
            yield made
            listener.cancel()
    finally:
        process.terminate()
        process.wait(60)


async def _address(file: Path) -> tuple[str, str]:
    for _ in range(10 * _PATIENCE_SECONDS):
        if file.exists() and len(lines := file.read_text().splitlines()) == 2:
            return lines[0], lines[1]
        await asyncio.sleep(0.1)
    raise AssertionError("Chromium did not start")
