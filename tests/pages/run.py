"""Runs the console blocks of a page, and compares what they print with what the page shows.

    python run.py README.md --glovebox target/release/glovebox           fails where the page differs
    python run.py README.md --glovebox target/release/glovebox --write   writes what was printed instead

A page runs from top to bottom, in bash, in a copy of this repository, with `glovebox` on the path.
tests/README.md says what a page can say to this program, and which differences it overlooks.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What pages use of the repository.
COPIED = ["spin.toml", "models", "examples", "wit", "tests/tables", "tests/trees", "tests/text", "tests/clients"]
IGNORED = shutil.ignore_patterns("*.wasm", "__pycache__", ".venv")

# Where `cargo build` puts the guest of the page on guests.
BUILT = "target/wasm32-unknown-unknown/release/wine_lines.wasm"

COMMAND_SECONDS = 900
START_SECONDS = 600

MARK = re.compile(r"<!-- (not run|varies|file): (.*?) -->", re.DOTALL)
ADDRESS = re.compile(r"127\.0\.0\.1:(\d+)")
# Fences in which a command would escape.
OTHER_SHELLS = {"sh", "bash", "shell"}

UNITS = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
TIME = re.compile(rf"{NUMBER} (?:ns|us|ms|s)\b")
SIZE = re.compile(rf"({NUMBER}) ({'|'.join(UNITS)})\b")
# No part of a version or an address.
DECIMAL = re.compile(r"(?<![\w.])-?\d+\.\d+(?:e[-+]?\d+)?(?![\w.]*\.\d|\w)")
ANY_NUMBER = re.compile(NUMBER)
SIZE_TOLERANCE = 0.1
DECIMAL_TOLERANCE = 1e-3
SMALLEST = 1e-5


@dataclass
class Command:
    """A command of a console block, and the lines that the page shows below it."""

    text: str
    first: int
    shown: list = field(default_factory=list)


@dataclass
class Block:
    """A fenced block, with what the comment above it says."""

    language: str
    line: int
    lines: list
    marks: dict


def blocks(text):
    """All fenced blocks of a page."""
    found, marks, opened = [], {}, None
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if opened is None and line.startswith("```"):
            above = "\n".join(lines[max(0, number - 4) : number]).rstrip()
            comment = above[above.rfind("<!--") :] if above.endswith("-->") else ""
            marks = {key: " ".join(value.split()) for key, value in MARK.findall(comment)}
            opened = Block(line[3:].strip(), number + 1, [], marks)
        elif opened is not None and line.rstrip() == "```":
            found.append(opened)
            opened = None
        elif opened is not None:
            opened.lines.append(line)
    if opened is not None:
        raise SystemExit(f"the block of line {opened.line} has no end")
    return found


def unfinished(command):
    """Whether bash would ask for another line: behind a backslash, in quotes, in a here document."""
    if command.endswith("\\"):
        return True
    here = re.search(r"<<'?(\w+)'?", command)
    if here:
        return command.splitlines()[1:].count(here[1]) == 0
    try:
        shlex.split(command)
    except ValueError:
        return True
    return False


def commands(block):
    """The commands of a console block."""
    found, text = [], None
    for number, line in enumerate(block.lines):
        if text is not None:
            text += "\n" + line
        elif line.startswith("$ "):
            text = line[2:]
        elif found:
            found[-1].shown.append(line)
            continue
        else:
            raise SystemExit(f"line {block.line + 1}: a console block begins with a command")
        if not unfinished(text):
            found.append(Command(text, block.line + 1 + number))
            text = None
    if text is not None:
        raise SystemExit(f"line {block.line}: a command has no end")
    return found


def parts(line, varies):
    """A line without the numbers that may differ, and these."""
    numbers = []

    def size(match):
        numbers.append((float(match[1]) * UNITS[match[2]], SIZE_TOLERANCE))
        return "<size>"

    def decimal(match):
        numbers.append((float(match[0]), DECIMAL_TOLERANCE))
        return "<decimal>"

    if varies == "numbers":
        return " ".join(ANY_NUMBER.sub("<number>", line).split()), []
    line = TIME.sub("<time>", line.rstrip())
    return DECIMAL.sub(decimal, SIZE.sub(size, line)), numbers


def near(shown, printed):
    """Whether two numbers are as good as equal."""
    return all(
        abs(a - b) <= max(tolerance * max(abs(a), abs(b)), SMALLEST)
        for (a, tolerance), (b, _) in zip(shown, printed)
    )


def same_line(shown, printed, varies):
    """Whether a line of the page says what was printed; `...` in it stands for anything."""
    if "..." in shown:
        pattern = ".*".join(re.escape(part) for part in shown.split("..."))
        return re.fullmatch(pattern, printed) is not None
    (a, numbers), (b, others) = parts(shown, varies), parts(printed, varies)
    return a == b and len(numbers) == len(others) and near(numbers, others)


def same(shown, printed, varies):
    """Whether the lines of a page are those that were printed; a line `...` stands for any number of them."""
    if not shown:
        return not printed
    if shown[0].strip() == "...":
        return any(same(shown[1:], printed[skip:], varies) for skip in range(len(printed) + 1))
    return bool(printed) and same_line(shown[0], printed[0], varies) and same(shown[1:], printed[1:], varies)


def free_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


class Shell:
    """The folder, the variables and the servers of one page."""

    def __init__(self, folder, glovebox, programs):
        self.repository = folder / "glovebox"
        self.state = folder / "state"
        self.servers = {}
        self.ports = {}
        self.log = folder / "log"
        tools = folder / "bin"
        tools.mkdir()
        (tools / "glovebox").symlink_to(glovebox.resolve())
        for name in COPIED:
            source, target = ROOT / name, self.repository / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=IGNORED)
            else:
                shutil.copy(source, target)
        guest = os.environ.get("PAGES_GUEST")
        if guest:
            # A guest that was built before, with what was compiled when the host was built.
            (tools / "cargo").write_text(f"#!/bin/sh\ninstall -D {guest} {BUILT}\n")
            (tools / "cargo").chmod(0o755)
        (folder / ".curlrc").write_text("silent\nshow-error\n")
        path = [str(tools), *map(str, programs), os.environ["PATH"]]
        self.environment = os.environ | {
            "PATH": ":".join(path),
            "CURL_HOME": str(folder),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "RUST_LOG": "error",
        }
        self.state.write_text(f"cd {shlex.quote(str(self.repository))}\n")

    def here(self, text):
        """What a page says, for the ports that are free here."""

        def port(match):
            return f"127.0.0.1:{self.ports.setdefault(match[1], free_port())}"

        return ADDRESS.sub(port, text)

    def there(self, text):
        """What was printed here, as a page says it."""
        for shown, port in self.ports.items():
            text = text.replace(f":{port}", f":{shown}")
        return text

    def script(self, text, before=""):
        """A command where the last one has left off."""
        save = f'code=$?; {{ export -p; echo "cd $(printf %q "$PWD")"; }} > {shlex.quote(str(self.state))}; exit $code'
        return f". {shlex.quote(str(self.state))}\n{before}{text}\n" + ("" if before else save)

    def save(self, name, lines):
        """Makes a file of the page, where its last command was."""
        where = subprocess.run(
            ["bash", "-c", f". {shlex.quote(str(self.state))}; pwd"], capture_output=True, text=True, check=True
        )
        file = Path(where.stdout.strip()) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.here("\n".join(lines)) + "\n")

    def run(self, text):
        """Runs a command: its exit code, and what it prints on both outputs."""
        if re.match(r"glovebox up\b", text):
            return self.serve(text)
        ended = subprocess.run(
            ["bash", "-c", self.script(self.here(text))],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        return ended.returncode, self.there(ended.stdout).splitlines()

    def serve(self, text):
        """Starts a server, in the place of the one that had its address; no exit code while it runs."""
        if "--listen" not in text:
            text += " --listen 127.0.0.1:3000"
        text = self.here(text)
        address = re.search(r"--listen 127\.0\.0\.1:(\d+)", text)[1]
        self.stop(address)
        with self.log.open("w") as log:
            server = subprocess.Popen(
                ["bash", "-c", self.script(text, before="exec ")],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.servers[address] = server
        deadline = time.monotonic() + START_SECONDS
        while server.poll() is None and not self.ready(address):
            if time.monotonic() > deadline:
                raise SystemExit(f"{text}: does not serve: {self.log.read_text()}")
            time.sleep(0.05)
        return server.poll(), self.there(self.log.read_text()).splitlines()

    def ready(self, port):
        if "serving http" not in self.log.read_text():
            return False
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def stop(self, port):
        server = self.servers.pop(port, None)
        if server and server.poll() is None:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()

    def stop_all(self):
        for port in list(self.servers):
            self.stop(port)


def run(page, shell):
    """Runs a page: what differs, what was printed instead, what was not run, how many commands were."""
    text = page.read_text()
    differ, printed_at, left_out, count = [], [], [], 0
    for block in blocks(text):
        where = f"{page.name}:{block.line}"
        if "file" in block.marks:
            shell.save(block.marks["file"], block.lines)
        elif "not run" in block.marks:
            left_out.append(f"{where}: {block.marks['not run']}")
        elif block.language == "python":
            differ.append(f"{where}: a block of Python is a file that a command runs, or it says why not")
        elif block.language in OTHER_SHELLS:
            if any(line.startswith(("glovebox ", "curl ")) for line in block.lines):
                differ.append(f"{where}: what a reader calls is a console block")
        elif block.language == "console":
            for command in commands(block):
                code, printed = shell.run(command.text)
                count += 1
                serves = code is None
                if serves and not command.shown:
                    continue
                failed = code not in (None, 0) and not any("error" in line for line in command.shown)
                if failed or not same(command.shown, printed, block.marks.get("varies")):
                    shown = "\n".join(f"  - {line}" for line in command.shown)
                    instead = "\n".join(f"  + {line}" for line in printed)
                    differ.append(f"{page.name}:{command.first}: $ {command.text}\n{shown}\n{instead}")
                    if not any("..." in line for line in command.shown):
                        printed_at.append((command.first, len(command.shown), printed))
    return differ, printed_at, left_out, count


def rewrite(page, printed_at):
    """Puts what was printed into the page."""
    lines = page.read_text().splitlines()
    for first, length, printed in reversed(printed_at):
        lines[first : first + length] = printed
    page.write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--glovebox", type=Path, required=True, help="the binary")
    parser.add_argument("--programs", type=Path, nargs="*", default=[], help="folders before the others on the path")
    parser.add_argument("--write", action="store_true", help="write what is printed into the page")
    options = parser.parse_args()
    page = options.page.resolve()
    # So that servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder:
        shell = Shell(Path(folder), options.glovebox, [path.resolve() for path in options.programs])
        try:
            differ, printed_at, left_out, count = run(page, shell)
        finally:
            shell.stop_all()
    for line in left_out:
        print(f"not run: {line}")
    for line in differ:
        print(f"DIFFERS: {line}")
    print(f"{page.relative_to(ROOT)}: {count} commands, {len(differ)} differ, {len(left_out)} blocks not run")
    if options.write:
        rewrite(page, printed_at)
    sys.exit(1 if differ and not options.write else 0)


if __name__ == "__main__":
    main()
