"""Glovebox beside MLServer: one scikit-learn model, the same load, in turns. Called by `run`."""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_wine
from sklearn.ensemble import GradientBoostingClassifier

CLIENTS = [1, 4, 16]
ROWS = [[13.2, 1.78, 2.14, 11.2, 100.0, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050.0]]
START_SECONDS = 120


def make(folder):
    """The model for both: joblib for MLServer, ONNX for Glovebox."""
    wine = load_wine()
    trees = GradientBoostingClassifier(n_estimators=60, max_depth=2, random_state=20)
    trees.fit(wine.data.astype(np.float32), wine.target)
    joblib.dump(trees, folder / "model.joblib")
    onnx = to_onnx(
        trees,
        initial_types=[("features", FloatTensorType([None, 13]))],
        options={id(trees): {"zipmap": False}},
        target_opset={"": 17, "ai.onnx.ml": 1},
    )
    (folder / "trees.onnx").write_bytes(onnx.SerializeToString())
    settings = {
        "name": "trees",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib"},
    }
    (folder / "model-settings.json").write_text(json.dumps(settings))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def serving(command, environment, port, log):
    """A server of the protocol, once its model is ready."""
    url = f"http://127.0.0.1:{port}/v2/models/trees"
    with log.open("w") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready(url):
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"error: {command[0]} does not serve; see {log}")
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()


def is_ready(url):
    try:
        with urllib.request.urlopen(f"{url}/ready") as answer:
            return answer.status == 200
    except OSError:
        return False


def glovebox(program, folder):
    packed, port = folder / "trees.wasm", free_port()
    subprocess.run([program, "pack", folder / "trees.onnx", "-o", packed], check=True)
    command = [program, "up", "--from", packed, "--listen", f"127.0.0.1:{port}"]
    return serving(command, None, port, folder / "glovebox.log")


def mlserver(folder):
    port = free_port()
    environment = os.environ | {
        "MLSERVER_HTTP_PORT": str(port),
        "MLSERVER_GRPC_PORT": str(free_port()),
        "MLSERVER_METRICS_PORT": str(free_port()),
        "MLSERVER_DEBUG": "false",
    }
    program = Path(sys.executable).with_name("mlserver")
    return serving([program, "start", folder], environment, port, folder / "mlserver.log")


def request(name, output):
    data = [number for row in ROWS for number in row]
    tensor = {"name": name, "datatype": "FP32", "shape": [len(ROWS), 13], "data": data}
    return {"inputs": [tensor], "outputs": [{"name": output}]}


def probabilities(url, body):
    headers = {"content-type": "application/json"}
    asked = urllib.request.Request(f"{url}/infer", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked) as answer:
        return np.array(json.load(answer)["outputs"][0]["data"], dtype=float).ravel()


def load(program, url, body, duration):
    """Requests a second and the median in milliseconds, by the number of clients."""
    clients = ",".join(map(str, CLIENTS))
    command = [program, "bench", url, "--input", body, "--concurrency", clients, "--json"]
    command += ["--duration", f"{duration}s"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    steps = json.loads(said)["steps"]
    failed = [step["errors"] for step in steps if step["errors"]]
    if failed:
        sys.exit(f"error: requests failed: {failed}")
    return [(step["throughput"], step["latency_ms"]["p50"]) for step in steps]


def main():
    parser = argparse.ArgumentParser(prog="benches/servers/run")
    parser.add_argument("program")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=int, default=3, help="seconds of each load")
    arguments = parser.parse_args()
    program, folder = arguments.program, arguments.folder
    make(folder)
    with glovebox(program, folder) as ours, mlserver(folder) as theirs:
        servers = {
            "Glovebox": (ours, request("features", "probabilities")),
            "MLServer": (theirs, request("features", "predict_proba")),
        }
        answers = [probabilities(url, body) for url, body in servers.values()]
        difference = np.abs(answers[0] - answers[1]).max()
        print(f"largest difference of two probabilities: {difference:.1e}")
        if difference > 1e-5:
            sys.exit("error: the servers do not answer the same")
        results = {name: [] for name in servers}
        for _ in range(arguments.rounds):
            for name, (url, body) in servers.items():
                file = folder / f"{name}.json"
                file.write_text(json.dumps(body))
                results[name].append(load(program, url, file, arguments.duration))
    print(f"{'clients':>7}  {'server':<9} {'requests/s':>10} {'p50 ms':>8}")
    for index, clients in enumerate(CLIENTS):
        for name, rounds in results.items():
            rate = statistics.median(steps[index][0] for steps in rounds)
            median = statistics.median(steps[index][1] for steps in rounds)
            print(f"{clients:>7}  {name:<9} {rate:>10.0f} {median:>8.2f}")


main()
