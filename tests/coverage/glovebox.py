"""The glovebox command: packs models, serves them, and asks them over HTTP."""

import http.client
import json
import os
import subprocess
from pathlib import Path

import tensors

# For one command or one answer; none should take a tenth of it.
TIMEOUT_SECONDS = 600
LIMITS = 'cpu = "30s"\ntimeout = "60s"\noutput = "16MiB"\n'
MANIFEST = """\
spin_manifest_version = 2
[application]
name = "coverage"
version = "1.0.0"
"""
COMPONENT = """\
[[trigger.http]]
route = "/v2/models/{name}/..."
component = "{name}"
[component.{name}]
source = "{source}"
[component.{name}.tool.glovebox]
"""


class Refused(Exception):
    """`glovebox pack` says why it does not take a model; the text names what is not supported."""


class Broken(Exception):
    """Anything else that keeps a model from answering: a bug of ours, or of the engine."""


class Glovebox:
    """The binary, with a cache of machine code."""

    def __init__(self, binary, cache_dir):
        self.binary, self.cache = str(binary), ["--cache-dir", str(cache_dir)]

    def pack(self, model, output):
        done = subprocess.run(
            [self.binary, *self.cache, "pack", str(model), "-o", str(output)],
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
        )
        if done.returncode != 0:
            raise refusal(done, model)

    def serve(self, models):
        """Serves packed models, by name."""
        folder = Path(next(iter(models.values()))).parent
        manifest = folder / "spin.toml"
        components = [
            COMPONENT.format(name=name, source=source) + LIMITS for name, source in models.items()
        ]
        manifest.write_text(MANIFEST + "".join(components))
        return Server([self.binary, *self.cache, "up", "--from", str(manifest)])


def refusal(done, model):
    """A refusal has exit code 1 and one line that begins with the model's file."""
    said = done.stderr.decode(errors="replace").strip()
    prefix = f"error: {model}: "
    crash = "the model breaks the loader"
    if done.returncode != 1 or not said.startswith(prefix):
        return Broken(f"exit code {done.returncode}: {said}")
    reason = said.removeprefix(prefix)
    is_bug = reason.startswith(crash) or "please report" in reason or "was not loaded" in reason
    return Broken(reason) if is_bug else Refused(reason)


class Server:
    """A running `glovebox up` on a free port."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0"],
            env=os.environ | {"RUST_LOG": "error"},
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        if not line.startswith("serving http://"):
            raise Broken(f"`glovebox up` says {line!r}")
        self.address = line.removeprefix("serving http://").split()[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate()

    def infer(self, name, inputs):
        """The outputs by name for pairs of a name and an array."""
        body, header_length = tensors.write_request(inputs)
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_SECONDS)
        try:
            headers = {"Inference-Header-Content-Length": str(header_length)}
            connection.request("POST", f"/v2/models/{name}/infer", body, headers)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise Broken(f"{answer.status} {json.loads(said)['error']}")
        return tensors.read_answer(said, int(answer.headers["Inference-Header-Content-Length"]))
