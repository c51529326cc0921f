"""Compares Glovebox with other engines on the same models, on one thread.

    benches/run                                all models, all engines
    benches/run --group zoo --quick            those of the headline, roughly
    benches/run --models resnet50 --engines ort,glovebox
    benches/run --kernels                      the kernels alone

See README.md. The exit code is 1 if outputs differ from those of native ONNX Runtime.
"""

import argparse
import os
import signal
import subprocess
import sys

import build
import engines
import models
import paths
import plot
import report
import summary
from measure import Plan, measure
from summary import Results


def parse_arguments() -> argparse.Namespace:
    description = __doc__.split("\n")[0]
    parser = argparse.ArgumentParser(prog="benches/run", description=description)
    parser.add_argument("--models", type=names, help="only these, with commas between them")
    parser.add_argument("--group", choices=["zoo", "other"], help="only the models of this group")
    parser.add_argument("--engines", type=names, help=f"only these of {','.join(engines.ALL)}")
    parser.add_argument("--rounds", type=int, help="turns of each engine [5]")
    parser.add_argument(
        "--quick", action="store_true", help="short turns, two if not said otherwise"
    )
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="`cpu` counts the process's own time only, for a machine that is not quiet",
    )
    parser.add_argument(
        "--kernels", action="store_true", help="the kernels alone, against the processor's peak"
    )
    parser.add_argument("--no-build", action="store_true", help="use what was built before")
    arguments = parser.parse_args()
    for name in arguments.engines or []:
        if name not in engines.ALL:
            parser.error(f"no engine {name!r}; there are {', '.join(engines.ALL)}")
    for name in arguments.models or []:
        if name not in {model.name for model in models.ALL}:
            known = ", ".join(model.name for model in models.ALL)
            parser.error(f"no model {name!r}; there are {known}")
    return arguments


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def chosen(arguments: argparse.Namespace) -> list[models.Model]:
    return [
        model
        for model in models.ALL
        if arguments.group in (None, model.group)
        and (arguments.models is None or model.name in arguments.models)
    ]


def plan(arguments: argparse.Namespace) -> Plan:
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    seconds = 0.15 if arguments.quick else 0.4
    return Plan(rounds, seconds, cpu=max(os.sched_getaffinity(0)))


def run(arguments: argparse.Namespace, names: list[str]) -> Results:
    results, models = [], chosen(arguments)
    for index, model in enumerate(models, 1):
        print(f"{index}/{len(models)} {model.name}", file=sys.stderr, flush=True)
        result = measure(model, names, plan(arguments))
        results.append((model, result))
        cells = (f"  {name}: {report.cell(result, name, arguments.clock)}" for name in names)
        print(*cells, sep="\n", file=sys.stderr, flush=True)
    return results


def main() -> int:
    arguments = parse_arguments()
    if arguments.kernels:
        if not arguments.no_build:
            build.build_kernels()
        return subprocess.run([paths.KERNELS, paths.KERNELS_MODULE]).returncode
    names = [name for name in engines.ALL if name in (arguments.engines or engines.ALL)]
    if not arguments.no_build:
        build.build()
    results = run(arguments, names)
    told = (results, names, arguments.clock)
    print("\n".join(report.lines(*told, report.text)))
    paths.RESULTS.with_suffix(".md").write_text("\n".join(report.lines(*told, report.markdown)))
    paths.RESULTS.with_suffix(".json").write_text(report.as_json(results))
    paths.RESULTS.with_suffix(".svg").write_text(plot.svg(*told))
    return 1 if summary.wrong(results) else 0


if __name__ == "__main__":
    # Workers are ended on every way out: they do not run, so they cannot end by themselves.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    try:
        sys.exit(main())
    except build.Failed as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped")
