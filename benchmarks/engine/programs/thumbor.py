"""thumbor: its server in this process, asked over HTTP once for each output. Argument: a port."""

import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from thumbor.server import main as thumbor

from benchmarks.engine.programs.serve import Job, serve

_CONFIG = """
LOADER = "thumbor.loaders.file_loader"
FILE_LOADER_ROOT_PATH = {root!r}
STORAGE = "thumbor.storages.no_storage"
RESULT_STORAGE = None
ALLOW_UNSAFE_URL = True
RESPECT_ORIENTATION = True
MAX_PIXELS = 200_000_000
"""
_FORMATS = {"jpg": "jpeg"}


def main(port: str) -> None:
    def work(job: Job) -> None:
        for output in job["outputs"]:
            kind = _FORMATS.get(output["format"], output["format"])
            filters = f"filters:format({kind}):quality({output['quality']}):no_upscale()"
            box = f"{output['width']}x{output['height']}"
            name = job["source"].lstrip("/")
            url = f"http://127.0.0.1:{port}/unsafe/fit-in/{box}/{filters}/{name}"
            with urllib.request.urlopen(url, timeout=120) as answer:
                if answer.headers["Content-Type"] != f"image/{kind}":
                    raise ValueError(
                        f"thumbor answers {kind} with {answer.headers['Content-Type']}"
                    )
                with Path(output["path"]).open("wb") as file:
                    shutil.copyfileobj(answer, file)

    def serve_and_leave() -> None:
        wait_for(int(port))
        serve(work)
        os._exit(0)

    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(_CONFIG.format(root="/"))
        file.flush()
        threading.Thread(target=serve_and_leave, daemon=True).start()
        thumbor(["--ip", "127.0.0.1", "--port", port, "--conf", file.name, "--log-level", "error"])


def wait_for(port: int) -> None:
    """Return when something listens on ``port``, or after half a minute."""
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    main(sys.argv[1])
