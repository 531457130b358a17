"""The part of a Kubernetes cluster that Snakemake's plugin speaks with: it takes jobs and runs each in an empty folder.

What is real: the plugin, the commands that it makes, and that jobs share nothing but the volume. What is not: images,
limits, and that somebody may be forbidden something.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml


class Cluster:
    """Attributes: jobs: what was asked for, in the order in which it came."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: list[dict[str, Any]] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        # The plugin installs its storage in each job; here it is installed already, and no test asks the network.
        (folder / "bin").mkdir(parents=True)
        (folder / "bin/pip").symlink_to("/bin/true")

    def submit(self, job: dict[str, Any]) -> None:
        self.jobs.append(job)
        [container] = job["spec"]["template"]["spec"]["containers"]
        workdir = tempfile.mkdtemp(dir=self.folder)
        path = os.pathsep.join([str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        with Path(workdir).with_suffix(".log").open("w") as log:
            self._processes[job["metadata"]["name"]] = subprocess.Popen(
                [*container["command"], *container["args"]],
                cwd=workdir,
                env={"PATH": path, "HOME": workdir},
                stdout=log,
                stderr=log,
            )

    def status(self, name: str) -> dict[str, int]:
        code = self._processes[name].poll()
        return {"active": 1} if code is None else {"succeeded": 1} if code == 0 else {"failed": 1}

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log"), key=os.path.getmtime))


def handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self, found: dict[str, Any]) -> None:
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/jobs"):
                cluster.submit(given)
            self.answer(given)

        def do_GET(self) -> None:
            parts = self.path.split("?")[0].split("/")
            self.answer({"items": []} if parts[-1] == "pods" else {"status": cluster.status(parts[-2])})

        def do_DELETE(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer({"status": "Success"})

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    return Handler


@contextmanager
def running(folder: Path) -> Iterator[tuple[Cluster, Path]]:
    """A cluster, and the file that says where it is (for KUBECONFIG)."""
    cluster = Cluster(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(cluster))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = folder / "kubeconfig.yaml"
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    named = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
    }
    config.write_text(yaml.safe_dump({"current-context": "c", "contexts": [context]} | named))
    try:
        yield cluster, config
    finally:
        server.shutdown()
        server.server_close()
        cluster.stop()
