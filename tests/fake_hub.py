"""A small Hugging Face hub in a thread: what huggingface_hub needs to create a model, save files and fetch them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """Models by name, each with its files."""

    models: dict[str, dict[str, bytes]]
    private: dict[str, bool]

    def log_message(self, *_: Any) -> None:
        pass

    def reply(self, body: Any = b"", status: int = 200, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[-2:] == ["repos", "create"]:
            given = json.loads(body)
            name = "/".join(part for part in (given.get("organization"), given["name"]) if part)
            self.models.setdefault(name, {})
            self.private[name] = bool(given.get("private") or given.get("visibility") == "private")
            self.reply({"url": f"http://{self.headers['Host']}/{name}", "id": name, "name": name})
            return
        if parts[-1] == "validate-yaml":
            self.reply({"errors": [], "warnings": []})
            return
        files = self.models["/".join(parts[2:4])]
        if parts[4] == "preupload":
            wanted = json.loads(body)["files"]
            self.reply({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in wanted]})
        elif parts[4] == "commit":
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "deletedFile":
                    files.pop(value["path"])
            self.reply(
                {
                    "commitUrl": f"http://{self.headers['Host']}/{'/'.join(parts[2:4])}/commit/{COMMIT}",
                    "commitOid": COMMIT,
                    "success": True,
                }
            )
        else:
            self.reply({"error": "not found"}, 404)

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            name = "/".join(parts[2:4])
            if name not in self.models:
                self.reply({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
                return
            entries = [
                {"type": "file", "path": f, "size": len(b), "oid": digest(b)} for f, b in self.models[name].items()
            ]
            if "tree" in parts:
                self.reply(entries)
                return
            self.reply(
                {"id": name, "modelId": name, "sha": COMMIT, "siblings": [{"rfilename": e["path"]} for e in entries]}
            )
            return
        name, file = "/".join(parts[:2]), "/".join(parts[4:])
        body = self.models.get(name, {}).get(file)
        if body is None:
            self.reply(b"", 404, X_Error_Code="EntryNotFound")
        else:
            self.reply(body, ETag=f'"{digest(body)}"', X_Repo_Commit=COMMIT)

    do_HEAD = do_GET


def digest(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


@contextmanager
def serve() -> Iterator[tuple[str, type[Hub]]]:
    """The address of a hub without models, and the hub."""
    kind = type("ThisHub", (Hub,), {"models": {}, "private": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kind
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
