"""What became of the cases: one line each in a list, and a table by operator."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

PASS, CONSTANT, UNSUPPORTED, WRONG = "pass", "constant", "unsupported", "wrong"
STATUSES = [PASS, CONSTANT, UNSUPPORTED, WRONG]
# Where in a graph something is differs from case to case.
PLACES = re.compile(
    r' ?\((?:node|the node that makes) "(?:[^"\\]|\\.)*"\)|(?<=node) #\d+ "[^"]*"|the model does not load: '
)

REPORT = """\
# Operators

The `onnx` package {version} has cases for its operators: a model, inputs, and the outputs to expect. Each one
is packed by `glovebox pack`, served by `glovebox up`, and asked over HTTP. This file is made by

```sh
{command}
```

and the same command without `--write` fails when it is no longer true. [tests/coverage/cases.txt](../tests/coverage/cases.txt)
has each case by name.

An answer passes with the datatype and the shape that are expected, equal integers, texts, NaN and infinities,
and other numbers within the tolerance that the case has (mostly a relative 1e-3) or a hundred-thousandth of
the largest number; FP16 has two of its steps. The cases give everything as
inputs, also axes, sizes and scales, which exported models hold as constants. Where `pack` refuses that, all
inputs but the first are made constants; what passes then is counted as `constant`. A case is unsupported if
`pack` refuses both and says what it lacks, or if the protocol cannot carry a tensor of the case. All else is
wrong: other numbers, a trap, an error at request time.

## All cases

| kind | cases | pass | constant | unsupported | wrong |
|---|---:|---:|---:|---:|---:|
{kinds}

`node` are single operators; `node, expanded` are the same ones as the functions of simpler operators that define
them; `own` are ours; `real` are nine classifiers as the package ships them, all weights the same number; the
others are small models from PyTorch and by hand.

## Single operators

`cases` and `expanded` are those that pass, of all; `+ n` more do with constants.

ONNX tests few of the operators of ai.onnx.ml; `tests/trees.rs` compares those that scikit-learn, LightGBM and
XGBoost are converted to with ONNX Runtime. A `ZipMap` at the end of a graph is taken off, for an output cannot be a
map: under its name there is the tensor of scores, and its names are the labels of
`[output] kind = "classification"` where `model.toml` has none.

| operator | cases | expanded | what is unsupported |
|---|---:|---:|---|
{operators}
"""


@dataclass(frozen=True)
class Result:
    """How a case ended and, if it did not pass, why."""

    status: str
    reason: str = ""

    def of_constants(self, before):
        """This result of a case with constants, which was refused before."""
        return Result(CONSTANT, before.reason) if self.status == PASS else self

    def __str__(self):
        return f"{self.status}: {self.reason}" if self.reason else self.status


def unsupported(reason):
    """Without where in the graph it is: that differs from case to case, and several are one."""
    said, listed, operators = PLACES.sub("", reason).partition("unsupported operator ")
    operators = ", ".join(dict.fromkeys(operators.split(", ")))
    return Result(UNSUPPORTED, one_line(said + listed + operators))


def wrong(reason):
    return Result(WRONG, one_line(reason))


def one_line(text):
    return " ".join(text.split())


# The list


def write_list(results):
    return "".join(f"{name} {result}\n" for name, result in sorted(results.items()))


def read_list(text):
    results = {}
    for line in text.splitlines():
        name, _, ended = line.partition(" ")
        status, _, reason = ended.partition(": ")
        results[name] = Result(status, reason)
    return results


def changes(before, after):
    """What got worse, and what only differs: lines to read."""
    worse, other = [], []
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        if was == now and (now is None or now.status != WRONG):
            continue
        is_worse = now is not None and (
            now.status == WRONG or (was is not None and rank(now) > rank(was))
        )
        (worse if is_worse else other).append(f"{name}: was {was or 'no case'}; is {now or 'no case'}")
    return worse, other


def rank(result):
    return STATUSES.index(result.status)


# The report


def report(cases, results, version, command):
    return REPORT.format(
        version=version,
        command=command,
        kinds=kinds_table(cases, results),
        operators=operators_table(cases, results),
    )


def kinds_table(cases, results):
    counts = defaultdict(Counter)
    for case in cases:
        kind = f"{case.kind}, expanded" if case.is_expansion else case.kind
        counts[kind][results[case.id].status] += 1
    rows = [row(kind, counts[kind]) for kind in sorted(counts)]
    return "\n".join([*rows, row("all", sum(counts.values(), Counter()))])


def row(kind, counts):
    numbers = [counts.total(), *(counts[status] for status in STATUSES)]
    return f"| {kind} | " + " | ".join(map(str, numbers)) + " |"


def operators_table(cases, results):
    operators = {case.id: operator(case) for case in cases if case.kind == "node"}
    plain, expanded = defaultdict(list), defaultdict(list)
    for case in cases:
        if case.is_expansion:
            expanded[operators[case.base]].append(results[case.id])
        elif case.kind == "node":
            plain[operators[case.id]].append(results[case.id])
    return "\n".join(
        f"| `{name}` | {passed(plain[name])} | {passed(expanded[name])} | {reasons(plain[name])} |"
        for name in sorted(plain)
    )


def operator(case):
    """The operator of a case that has only one."""
    node = case.model.graph.node[0]
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def passed(results):
    counts = Counter(result.status for result in results)
    more = f" + {counts[CONSTANT]}" if counts[CONSTANT] else ""
    return f"{counts[PASS]}{more} of {len(results)}" if results else ""


def reasons(results):
    counts = Counter(
        str(result) if result.status == WRONG else result.reason
        for result in results
        if result.status in (UNSUPPORTED, WRONG)
    )
    texts = [f"{count} × {text}" for text, count in sorted(counts.items())]
    return "; ".join(texts).replace("|", "\\|")
