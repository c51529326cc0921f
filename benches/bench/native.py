"""Runs one model on ONNX Runtime, as worker.py tells it on standard input.

python native.py <model> <inputs>
"""

import json
import sys
import time

import onnxruntime
from safetensors.numpy import load_file, save_file


def open_session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(session, inputs, times):
    """Nanoseconds of each inference, on the clock of the wall and on the process's own."""
    wall, cpu = [], []
    for _ in range(times):
        start, cpu_start = time.perf_counter_ns(), time.process_time_ns()
        session.run(None, inputs)
        wall.append(time.perf_counter_ns() - start)
        cpu.append(time.process_time_ns() - cpu_start)
    return {"wall": wall, "cpu": cpu}


def write_outputs(session, inputs, file):
    names = [output.name for output in session.get_outputs()]
    outputs = session.run(names, inputs)
    save_file({name: output.copy() for name, output in zip(names, outputs)}, file)
    return {}


def main():
    model, file = sys.argv[1:]
    session, inputs = open_session(model), load_file(file)
    print("{}", flush=True)
    for line in sys.stdin:
        command, argument = line.rstrip("\n").split(" ", 1)
        match command:
            case "run":
                answer = run(session, inputs, int(argument))
            case "outputs":
                answer = write_outputs(session, inputs, argument)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # the benchmark shows one line
        sys.exit(f"error: {error}")
