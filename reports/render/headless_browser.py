"""A headless Chromium, for tests and pictures, spoken to in the DevTools protocol over a pipe."""
import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 300


def find_browser():
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """The one page of a browser without network. `errors` are the script errors and refused requests so far."""

    def __init__(self, to_browser, from_browser):
        self.to_browser, self.from_browser = to_browser, from_browser
        self.errors, self.events, self.last_id, self.session = [], [], 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)

    def call(self, method, **params):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.to_browser.write(json.dumps(message).encode() + b"\0")
        self.to_browser.flush()
        while True:
            reply = self.read()
            if reply.get("id") == self.last_id:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']['message']}")
                return reply["result"]

    def read(self):
        text = bytearray()
        while (byte := self.from_browser.read(1)) != b"\0":
            if not byte:
                raise RuntimeError("the browser ended")
            text += byte
        message = json.loads(text)
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(str([argument.get("value") for argument in params["args"]]))
        elif method:
            self.events.append(method)
        return message

    def open(self, path, width, height, dark=False):
        self.errors.clear()
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 1000)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=path.resolve().as_uri())
        while "Page.loadEventFired" not in self.events:
            self.read()

    def evaluate(self, expression):
        """The value of a JavaScript expression, a promise's once it is fulfilled."""
        reply = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in reply:
            raise RuntimeError(reply["exceptionDetails"].get("exception", {}).get("description", "an exception"))
        return reply["result"].get("value")

    def screenshot(self, most_height=float("inf")):
        """A PNG of the page from its top."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], most_height), "scale": 1}
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(picture["data"])


@contextlib.contextmanager
def page(browser):
    """A page of the program `browser`, which ends with it."""
    command_read, command_write = os.pipe()
    reply_read, reply_write = os.pipe()

    def connect():  # the protocol's pipes are the descriptors 3 and 4
        command, reply = os.dup(command_read), os.dup(reply_write)  # neither is 3 or 4 before the other has moved
        high_command, high_reply = os.dup2(command, 100), os.dup2(reply, 101)
        os.dup2(high_command, 3)
        os.dup2(high_reply, 4)

    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        command = [browser, *options, "--no-first-run", f"--user-data-dir={profile}"]
        # A time limit for the whole: what hangs is ended.
        process = subprocess.Popen(
            ["timeout", "--kill-after=5", str(SECONDS), *command],
            preexec_fn=connect,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(command_read)
        os.close(reply_write)
        with open(command_write, "wb") as to_browser, open(reply_read, "rb") as from_browser:
            opened = None
            try:
                opened = Page(to_browser, from_browser)
                yield opened
            finally:
                with contextlib.suppress(Exception):
                    if opened:
                        opened.session = None
                        opened.call("Browser.close")
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
