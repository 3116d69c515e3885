"""The local stack with a model of one's own, and its API over HTTP."""

import contextlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
import zipfile

from tools.common import ROOT, ToolError, run

USER, JOB, NAME = "real", "real-facts", "Real Facts"
START_SECONDS, EXPORT_SECONDS = 120, 900


def local_program():
    """Path of the local stack: `LOCAL_STACK`, or the release build."""
    built = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release/local"
    return pathlib.Path(os.environ.get("LOCAL_STACK", built))


class Service:
    """A running stack with one training job."""

    def __init__(self, data, origin):
        self.data, self.origin = data, origin
        self.token = run(local_program(), "token", "--user", USER, "--data-dir", data).strip()

    def add_job(self, base, adapter, base_name):
        """Copies base and adapter into the buckets, and adds the document of the training job."""
        buckets = self.data.resolve() / "buckets"
        shutil.copytree(base, buckets / "base-models" / base_name, dirs_exist_ok=True)
        shutil.copytree(adapter, buckets / "training" / USER / JOB, dirs_exist_ok=True)
        document = {
            "user_id": USER,
            "job_name": NAME,
            "status": "completed",
            "base_model_id": base_name,
            "created_at": "2026-05-06T09:30:00Z",
            "artifacts": {"raw": {"adapter": (buckets / "training" / USER / JOB).as_uri()}},
        }
        with contextlib.closing(sqlite3.connect(self.data / "documents.db", timeout=10)) as database, database:
            database.execute("INSERT INTO documents VALUES ('training_jobs', ?, ?)", (JOB, json.dumps(document)))

    def request(self, path, body=None):
        """The JSON of a successful response."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.origin + path, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ToolError(f"{path}: status {error.code}: {error.read().decode()}") from error

    def export(self, kind, quantization=None):
        """Runs an export, and returns its record and the link to its file."""
        body = {"job_id": JOB, "export_type": kind, "quantization": quantization}
        export_id = self.request("/exports", body)["export_id"]
        end = time.monotonic() + EXPORT_SECONDS
        while time.monotonic() < end:
            job = self.request(f"/exports/{JOB}")
            export = job["latest_export"]
            if export["export_id"] == export_id and export["status"] != "running":
                if export["status"] != "completed":
                    raise ToolError(f"{kind} {quantization or ''}: {export['message']}")
                return export, job["artifacts"]["file"][kind]
            time.sleep(0.3)
        raise ToolError(f"{kind} {quantization or ''}: still running after {EXPORT_SECONDS} s")

    def download(self, link, target):
        with urllib.request.urlopen(link, timeout=60) as response, target.open("wb") as file:
            shutil.copyfileobj(response, file, 1 << 20)
        return target


def unpack(path, target):
    with zipfile.ZipFile(path) as archive:
        archive.extractall(target)
    path.unlink()
    return target


def wait_for_origin(process, log):
    """The address that the stack prints when it serves."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        text = log.read_text()
        if "until Ctrl-C" in text:
            return next(line.split()[1] for line in text.splitlines() if line.split()[:1] == ["page"])
        time.sleep(0.2)
    raise ToolError(f"the local stack does not serve: {log.read_text()}")


@contextlib.contextmanager
def running(data):
    """A stack on an empty folder, with the logit check after each export and without a network."""
    data.mkdir()
    log = data.with_name("serving.log")
    environment = os.environ | {"VERIFY_LOGITS": "3600", "HF_ENDPOINT": "http://127.0.0.1:9"}
    line = [local_program(), "serve", "--port", "0", "--data-dir", data]
    with log.open("w") as output:
        process = subprocess.Popen(line, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        yield Service(data, wait_for_origin(process, log))
    finally:
        process.terminate()
        process.wait(timeout=30)
