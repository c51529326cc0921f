"""Check files against docs/model.schema.json: TOML, and Markdown for its blocks of TOML with a table of
model.toml. Prints a line for each, and fails if one is not valid.

    python validate.py docs/model.schema.json FILE...
"""

import json
import re
import sys
import tomllib
from pathlib import Path

from jsonschema import Draft202012Validator

BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"^\[(input|output|\[example\])\]", re.MULTILINE)


def texts(path):
    text = path.read_text()
    if path.suffix != ".md":
        # What `glovebox new` fills in.
        return [text.replace("{{name}}", "name")]
    return [block for block in BLOCK.findall(text) if TABLE.search(block)]


def main(schema, *paths):
    schema = json.loads(Path(schema).read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    failed = False
    for path in paths:
        for text in texts(Path(path)):
            error = next(validator.iter_errors(tomllib.loads(text)), None)
            failed |= error is not None
            print("FAIL" if error else "ok", path, error.message if error else "")
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
