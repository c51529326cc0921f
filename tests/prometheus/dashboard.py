"""Asks Prometheus every query of the dashboard while a host answers, refuses and fails.

    python3 dashboard.py GLOVEBOX

Prints one line a query. Exits with 1 if one is refused, is empty or gives no number, or if what Prometheus
has counted is not what the clients have seen.
"""

import http.client
import json
import math
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "models/digits"
# Scraped every second, so that a short load has rates.
INTERVAL, RATE_INTERVAL = "1s", "5s"
# From the beginning of the load; on a quiet machine all is there after some seconds.
LONGEST = 90
MANIFEST = """\
spin_manifest_version = 2
[application]
name = "load"
[[trigger.http]]
route = "/v2/models/digits/..."
component = "digits"
[[trigger.http]]
route = "/front/..."
component = "front"
[[trigger.http]]
route = "/v2/models/small/..."
component = "small"
[component.digits]
source = "digits.wasm"
[component.front]
source = "front.wasm"
[component.small]
source = "digits.wasm"
[component.small.tool.glovebox]
output = "1KiB"
"""
IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0] * 64}
WRONG = {**IMAGE, "shape": [1, 2], "data": [0, 0]}
# Its answer has 4000 bytes of scores.
MANY = {**IMAGE, "shape": [100, 1, 8, 8], "data": [0] * 6400}
PICTURE = (DIGITS / "examples/7.png").read_bytes()


def body(tensor):
    return json.dumps({"inputs": [tensor]}).encode()


# Where to, as what, what; and the status and the outcome that this has.
OF_MODEL = [
    ("infer", "application/json", body(IMAGE), 200, "ok"),
    ("predict", "image/png", PICTURE, 200, "ok"),
    ("infer", "application/json", body(WRONG), 400, "invalid_request"),
    ("predict", "text/plain", b"7", 415, "unsupported_media"),
    ("predict", "image/png", b"none", 422, "invalid_input"),
]
REQUESTS = [
    *[("digits", f"/v2/models/digits/{path}", *rest) for path, *rest in OF_MODEL],
    *[("front", f"/front/v2/models/digits/{path}", *rest) for path, *rest in OF_MODEL],
    ("front", "/front/elsewhere", "text/plain", b"", 404, "client_error"),
    ("small", "/v2/models/small/infer", "application/json", body(MANY), 502, "output_too_large"),
]


def started(running, command, pattern, of):
    """Starts a process, which ends with `running`; the address in its first line that has one."""
    process = subprocess.Popen(command, text=True, **{of: subprocess.PIPE})
    running.callback(process.wait)
    running.callback(process.terminate)
    for line in getattr(process, of):
        if found := re.search(pattern, line):
            return found[1]
    sys.exit(f"{command[0]} ended: {process.wait()}")


def ask(address, path, media=None, content=None):
    connection = http.client.HTTPConnection(address, timeout=60)
    headers = {"content-type": media} if media else {}
    connection.request("GET" if content is None else "POST", path, content, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def load(address, seen):
    """One round of all requests, noted in `seen`."""
    for model, path, media, content, status, outcome in REQUESTS:
        found, text = ask(address, path, media, content)
        if found != status:
            sys.exit(f"{path}: {found} in the place of {status}: {text}")
        seen[model, outcome] += 1


def query(prometheus, text):
    path = "/api/v1/query?" + urllib.parse.urlencode({"query": text})
    status, answer = ask(prometheus, path)
    if status != 200:
        sys.exit(f"FAIL {text}: {answer}")
    return json.loads(answer)["data"]["result"]


def queries():
    """All queries, for all models."""
    dashboard = json.loads((ROOT / "docs/grafana/glovebox.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
            yield panel["title"], text.replace("$model", ".*")


def missing(prometheus):
    """The queries that have no number yet."""
    for title, text in queries():
        values = [float(series["value"][1]) for series in query(prometheus, text)]
        if not any(math.isfinite(value) for value in values):
            yield f"{title}: {text}"


def counted(prometheus):
    """How many requests have ended how, by model and outcome."""
    counts = {}
    for series in query(prometheus, "glovebox_requests_total > 0"):
        labels = series["metric"]
        counts[labels["model"], labels["outcome"]] = int(series["value"][1])
    return counts


def check(glovebox, prometheus):
    """Loads the host until all queries have numbers, and then until all is counted."""
    seen, deadline = Counter(), time.monotonic() + LONGEST
    # It listens before it answers.
    while ask(prometheus, "/-/ready")[0] != 200:
        if time.monotonic() > deadline:
            sys.exit("FAIL prometheus does not get ready")
        time.sleep(0.1)
    while left := list(missing(prometheus)):
        if time.monotonic() > deadline:
            sys.exit("\n".join(f"FAIL {query}" for query in left))
        load(glovebox, seen)
    for title, text in queries():
        print(f"ok   {title}: {len(query(prometheus, text))} series of {text}")
    while (found := counted(prometheus)) != seen:
        if time.monotonic() > deadline:
            sys.exit(f"FAIL counted {found} in the place of {dict(seen)}")
        time.sleep(0.2)
    print(f"ok   counted: {sum(seen.values())} requests, {seen}")


def main(binary):
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        digits, front = folder / "digits.wasm", folder / "front.wasm"
        subprocess.run([binary, "pack", "--http", DIGITS / "digits.onnx", "-o", digits], check=True)
        # The host looks through its own front, which it knows by this section.
        front.write_bytes(digits.read_bytes().replace(b"glovebox:front", b"somebody:front"))
        (folder / "spin.toml").write_text(MANIFEST)
        up = [binary, "up", "--from", folder / "spin.toml", "--listen", "127.0.0.1:0"]
        glovebox = started(running, up, r"^serving http://(\S+)", "stdout")
        config = folder / "prometheus.yml"
        config.write_text(
            f"global: {{ scrape_interval: {INTERVAL} }}\n"
            f'scrape_configs: [{{ job_name: glovebox, static_configs: [{{ targets: ["{glovebox}"] }}] }}]\n'
        )
        command = [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--web.listen-address=127.0.0.1:0",
        ]
        listens = r'msg="?Listening on"? address=(\S+)'
        check(glovebox, started(running, command, listens, "stderr"))


if __name__ == "__main__":
    main(sys.argv[1])
