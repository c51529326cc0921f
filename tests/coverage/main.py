"""Runs the cases of the onnx package through pack and infer.

    python main.py GLOVEBOX --cache-dir DIR              compares with cases.txt and docs/operators.md
    python main.py GLOVEBOX --cache-dir DIR --write      writes both
    python main.py GLOVEBOX --cache-dir DIR --only TEXT  shows the cases with this in their name

The exit code is 1 if a case is wrong or the files are not true any more.
"""

import argparse
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx

import results
import tensors
from cases import collect
from compare import difference
from glovebox import Broken, Glovebox, Refused
from results import PASS, UNSUPPORTED, Result

HERE = Path(__file__).resolve().parent
LIST = HERE / "cases.txt"
REPORT = HERE.parents[1] / "docs" / "operators.md"
COMMAND = "tests/coverage/run --write"
# A packed model takes 12 MiB of disk until its batch is done.
BATCH = 100


def run(cases, glovebox):
    """A result for each case."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        found = run_each(cases, glovebox, threads)
        # Models may be refused only for a parameter that is an input, and in practice never is.
        again = [case for case in cases if found[case.id].status == UNSUPPORTED]
        again = [constant for case in again if (constant := with_constants(case))]
        for name, result in run_each(again, glovebox, threads).items():
            found[name] = result.of_constants(found[name])
    return found


def with_constants(case):
    try:
        return case.with_constants()
    except (ValueError, tensors.NoForm):  # it has no inputs, or none that could be constants
        return None


def run_each(cases, glovebox, threads):
    found = {}
    for start in range(0, len(cases), BATCH):
        found |= run_batch(cases[start : start + BATCH], glovebox, threads)
    return found


def run_batch(cases, glovebox, threads):
    with tempfile.TemporaryDirectory(prefix="glovebox-coverage-") as folder:
        files = {f"case{i}": Path(folder) / f"case{i}.wasm" for i in range(len(cases))}
        packed = threads.map(lambda case, file: pack(case, glovebox, file), cases, files.values())
        failed = dict(zip(files, packed, strict=True))
        served = {name: file for name, file in files.items() if failed[name] is None}
        if not served:
            return {case.id: result for case, result in zip(cases, failed.values(), strict=True)}
        with glovebox.serve(served) as server:
            ended = threads.map(
                lambda case, name: failed[name] or ask(case, server, name), cases, files
            )
            return {case.id: result for case, result in zip(cases, ended, strict=True)}


def pack(case, glovebox, output):
    """Packs a case's model; a result if that is the end of it."""
    model = output.with_suffix(".onnx")
    model.write_bytes(case.model.SerializeToString())
    try:
        for inputs, outputs in case.data:
            for value in [*inputs, *outputs]:
                tensors.as_array(value)
        glovebox.pack(model, output)
    except (Refused, tensors.NoForm) as error:
        return results.unsupported(str(error))
    except Broken as error:
        return results.wrong(str(error))
    return None


def ask(case, server, name):
    """Asks a served model each of its case's questions."""
    for inputs, outputs in case.data:
        named = zip(case.inputs(), map(tensors.as_array, inputs), strict=True)
        try:
            found = server.infer(name, [(value.name, array) for value, array in named])
        except Broken as error:
            return results.wrong(str(error))
        for value, expected in zip(case.outputs(), map(tensors.as_array, outputs), strict=True):
            if value.name not in found:
                return results.wrong(f"output {value.name!r} is missing")
            if what := difference(expected, found[value.name], case.rtol, case.atol):
                return results.wrong(f"output {value.name!r} {what}")
    return Result(PASS)


def compare_with_files(cases, found):
    """What is not as the files say; nothing if they are true."""
    worse, other = results.changes(results.read_list(LIST.read_text()), found)
    lines = [f"WORSE {line}" for line in worse] + [f"differs {line}" for line in other]
    if not lines and REPORT.read_text() != report(cases, found):
        lines = [f"{REPORT.name} is not what {LIST.name} says"]
    if lines and not worse:
        lines.append(f"nothing got worse; write the files anew with\n{COMMAND}")
    return lines


def report(cases, found):
    return results.report(cases, found, onnx.__version__, COMMAND)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("glovebox", type=Path, help="the binary")
    parser.add_argument("--cache-dir", type=Path, required=True, help="its cache of machine code")
    parser.add_argument("--write", action="store_true", help="write the files anew")
    parser.add_argument("--only", metavar="TEXT", help="show the cases with this in their name")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    cases = [case for case in collect() if (arguments.only or "") in case.id]
    found = run(cases, Glovebox(arguments.glovebox.resolve(), arguments.cache_dir))
    if arguments.only is not None:
        print(results.write_list(found), end="")
    elif arguments.write:
        LIST.write_text(results.write_list(found))
        REPORT.write_text(report(cases, found))
    elif lines := compare_with_files(cases, found):
        sys.exit("\n".join(lines))
    wrong = [name for name, result in found.items() if result.status == results.WRONG]
    sys.exit(f"wrong: {', '.join(wrong)}" if wrong else 0)


if __name__ == "__main__":
    main()
