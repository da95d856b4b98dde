"""A Hugging Face hub and an OPUS on loopback: files of a folder, served as the real clients ask for them, with faults to order.

`with serve(folder) as hub:` serves `folder/models/OWNER/NAME/...`, `folder/datasets/OWNER/NAME/...` and, for OPUS,
`folder/opus/CORPUS/XX-YY.zip`. Give `hub.environment` to the process of the client. `hub.faults` holds what goes wrong,
`hub.requests` what was asked for. What is answered follows the installed `huggingface_hub` (`HfApi`, `hf_hub_download`).
"""
import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Fault:
    "Something that goes wrong, `times` times, with requests whose path matches."

    path: str # regular expression
    status: int | None = None # answer this instead
    cut_after: int | None = None # close the connection after so many bytes of the body
    lose: int = 0 # serve the file without its last bytes, as if it were so long
    slow: float = 0.0 # seconds to wait before the answer
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Hub:
    "The state of a server."

    folder: Path
    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list) # method, path, Range

    @property
    def environment(self) -> dict[str, str]:
        "What a client's process needs to ask here, and nowhere else."
        home = str(self.folder / "client")
        return {"HF_ENDPOINT": self.url, "HF_HOME": home, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1",
                "OPUS_API": f"{self.url}/opusapi", "XDG_CACHE_HOME": home, "NO_PROXY": "*", "no_proxy": "*"}

    def fault(self, method: str, path: str) -> Fault | None:
        "Take the next fault for a path. A HEAD request has no body to cut."
        for fault in self.faults:
            if fault.times > 0 and re.search(fault.path, path) and not (method == "HEAD" and fault.cut_after is not None):
                fault.times -= 1
                return fault
        return None

    def files(self, kind: str, name: str) -> list[Path]:
        folder = self.folder / kind / name
        return sorted(path for path in folder.rglob("*") if path.is_file())


def etag(content: bytes) -> str: return hashlib.sha1(content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    "Answer one request."

    protocol_version = "HTTP/1.1"
    hub: Hub
    fault: Fault | None = None

    def log_message(self, *_): pass

    def do_HEAD(self): self.answer()
    def do_GET(self): self.answer()
    def do_POST(self): self.answer()

    def answer(self) -> None:
        "Find the one who answers this path."
        parts = urlsplit(self.path)
        path, self.query = unquote(parts.path), parse_qs(parts.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        self.fault = self.hub.fault(self.command, path)
        if self.fault and self.fault.slow: time.sleep(self.fault.slow)
        if self.fault and self.fault.status: return self.send(self.fault.status, b"out of order", self.fault.headers)
        for pattern, method in ROUTES:
            if found := re.fullmatch(pattern, path): return method(self, **found.groupdict())
        self.send(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    def send(self, status: int, content: bytes, headers: dict[str, str] = {}, length: int | None = None) -> None:
        "Send an answer, or as much of it as the fault allows."
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content) if length is None else length), "X-Repo-Commit": REVISION, **headers}.items(): self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD": return
        cut = self.fault.cut_after if self.fault else None
        self.wfile.write(content if cut is None else content[:cut])
        if cut is not None: self.close_connection = True

    def json(self, value) -> None: self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def file(self, path: Path) -> None:
        "Serve a file, or the range that is asked for."
        if not path.is_file(): return self.send(404, b"", {"X-Error-Code": "EntryNotFound" if path.parent.is_dir() or self.hub.files(*self.repo(path)) else "RepoNotFound"})
        content = path.read_bytes()
        tag = {"ETag": f'"{etag(content)}"', "Accept-Ranges": "bytes"}
        if self.fault and self.fault.lose: content = content[: -self.fault.lose]
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not asked or self.headers.get("If-Range", tag["ETag"]) != tag["ETag"]: return self.send(200, content, tag)
        start, end = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
        if start >= len(content): return self.send(416, b"", tag | {"Content-Range": f"bytes */{len(content)}"})
        self.send(206, content[start : end + 1], tag | {"Content-Range": f"bytes {start}-{end}/{len(content)}"})

    def repo(self, path: Path) -> tuple[str, str]:
        kind, owner, name = path.relative_to(self.hub.folder).parts[:3]
        return kind, f"{owner}/{name}"

    def resolve(self, name: str, file: str, kind: str = "models") -> None: self.file(self.hub.folder / kind / name / file)

    def entries(self, kind: str, name: str) -> list[dict]:
        folder = self.hub.folder / kind / name
        return [{"type": "file", "path": str(path.relative_to(folder)), "size": path.stat().st_size, "oid": etag(path.read_bytes())} for path in self.hub.files(kind, name)]

    def info(self, kind: str, name: str) -> None:
        "Describe a repository."
        entries = self.entries(kind, name)
        if not entries: return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        self.json({"id": name, "sha": REVISION, "private": False, "gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": [], "siblings": [{"rfilename": entry["path"], "size": entry["size"]} for entry in entries]})

    def tree(self, kind: str, name: str, below: str | None = None) -> None:
        "List a folder of a repository."
        entries, prefix = self.entries(kind, name), f"{below}/" if below else ""
        inside = [entry for entry in entries if entry["path"].startswith(prefix)]
        if not inside: return self.send(404, b"{}", {"X-Error-Code": "EntryNotFound" if entries else "RepoNotFound"})
        if self.query.get("recursive", ["false"])[0].lower() != "true":
            folders = {entry["path"][len(prefix):].split("/")[0] for entry in inside if "/" in entry["path"][len(prefix):]}
            inside = [{"type": "directory", "path": prefix + folder, "oid": REVISION, "size": 0} for folder in sorted(folders)] + [entry for entry in inside if "/" not in entry["path"][len(prefix):]]
        self.json(inside)

    def paths(self, kind: str, name: str) -> None:
        "Describe the paths that are asked for."
        content = self.body.decode()
        wanted = json.loads(content)["paths"] if content.startswith("{") else parse_qs(content).get("paths", [])
        entries = self.entries(kind, name)
        folders = {"/".join(entry["path"].split("/")[:depth]) for entry in entries for depth in range(1, entry["path"].count("/") + 1)}
        self.json([entry for entry in entries if entry["path"] in wanted] + [{"type": "directory", "path": path, "oid": REVISION, "size": 0} for path in wanted if path in folders])

    def create(self) -> None:
        "Make a repository. It exists once something is in it."
        wanted = json.loads(self.body)
        self.json({"url": f"{self.hub.url}/{wanted['organization']}/{wanted['name']}"})

    def validate(self) -> None: self.json({"errors": [], "warnings": []})

    def preupload(self, name: str) -> None:
        "Ask for every file as part of the commit itself."
        self.json({"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None} for file in json.loads(self.body)["files"]]})

    def commit(self, name: str) -> None:
        "Write the files of a commit."
        for line in map(json.loads, self.body.splitlines()):
            if line["key"] != "file": continue
            path = self.hub.folder / "models" / name / line["value"]["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(line["value"]["content"]))
        self.json({"success": True, "commitOid": REVISION, "commitUrl": f"{self.hub.url}/{name}/commit/{REVISION}"})

    def opus_index(self) -> None:
        "List the archives of a corpus, as OPUS does."
        corpus, languages = self.query["corpus"][0], sorted((self.query["source"][0], self.query["target"][0]))
        path = self.hub.folder / "opus" / corpus / f"{'-'.join(languages)}.zip"
        self.json({"corpora": [{"corpus": corpus, "source": languages[0], "target": languages[1], "preprocessing": "moses", "latest": "True", "version": "v1",
                                "size": path.stat().st_size // 1024, "url": f"{self.hub.url}/{path.relative_to(self.hub.folder)}"}] if path.is_file() else []})

    def opus_file(self, file: str) -> None: self.file(self.hub.folder / "opus" / file)


NAME = r"(?P<name>[^/]+/[^/]+)"
ROUTES = [
    (rf"/(?P<kind>datasets)/{NAME}/resolve/[^/]+/(?P<file>.+)", Handler.resolve),
    (rf"/{NAME}/resolve/[^/]+/(?P<file>.+)", Handler.resolve),
    (rf"/api/(?P<kind>models|datasets)/{NAME}(/revision/[^/]+)?", Handler.info),
    (rf"/api/(?P<kind>models|datasets)/{NAME}/tree/[^/]+(/(?P<below>.+))?", Handler.tree),
    (rf"/api/(?P<kind>models|datasets)/{NAME}/paths-info/[^/]+", Handler.paths),
    (r"/api/repos/create", Handler.create),
    (r"/api/validate-yaml", Handler.validate),
    (rf"/api/models/{NAME}/preupload/[^/]+", Handler.preupload),
    (rf"/api/models/{NAME}/commit/[^/]+", Handler.commit),
    (r"/opusapi/?", Handler.opus_index),
    (r"/opus/(?P<file>.+)", Handler.opus_file),
]


@contextmanager
def serve(folder: Path, handler: type[Handler] = Handler) -> Iterator[Hub]:
    "Serve a folder until the block ends. A `handler` of your own may answer more."
    hub = Hub(Path(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HandlerOfHub", (handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try: yield hub
    finally:
        server.shutdown()
        server.server_close()
