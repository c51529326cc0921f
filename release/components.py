"""What the program is made of: a list in SPDX's JSON, and the licence texts that must go with it.

    components.py VERSION --spdx FILE --licences FILE

Both come from what cargo knows: the crates that the program and the guests inside it are built from, without
those that only tests need.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import subprocess
import uuid

TARGETS = ["x86_64-unknown-linux-gnu", "wasm32-unknown-unknown"]
ROOTS = ["glovebox", "glovebox-nn", "glovebox-runtime", "glovebox-spin"]
LICENCE = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version")
    parser.add_argument("--spdx", type=pathlib.Path, required=True)
    parser.add_argument("--licences", type=pathlib.Path, required=True)
    options = parser.parse_args()
    packages, edges = {}, set()
    for target in TARGETS:
        found, links = reachable(target)
        packages |= found
        edges |= links
    options.spdx.write_text(json.dumps(spdx(options.version, packages, edges), indent=1) + "\n")
    options.licences.write_text(licence_texts(packages))


def reachable(target):
    """The packages that are built into the program for this target, by id, and which needs which."""
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", target]
    graph = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in graph["packages"]}
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    members = set(graph["workspace_members"])
    todo = [name for name in members if packages[name]["name"] in ROOTS]
    seen, links = set(), set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for dependency in nodes[name]["deps"]:
            # Of kind null are those of the program; build scripts and tests have a kind.
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                links.add((name, dependency["pkg"]))
                todo.append(dependency["pkg"])
    return {name: packages[name] for name in seen}, links


def checksums():
    """The checksum of each crate, as Cargo.lock has it."""
    entries = pathlib.Path("Cargo.lock").read_text().split("[[package]]")
    found = {}
    for entry in entries:
        fields = dict(re.findall(r'^(name|version|checksum) = "(.*)"$', entry, re.MULTILINE))
        if "checksum" in fields:
            found[fields["name"], fields["version"]] = fields["checksum"]
    return found


def spdx(version, packages, edges):
    sums = checksums()
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", 0))
    created = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)

    def reference(package):
        name = re.sub(r"[^A-Za-z0-9.-]", "-", f"{package['name']}-{package['version']}")
        return f"SPDXRef-Package-{name}"

    described = []
    for package in ordered(packages):
        name, number = package["name"], package["version"]
        entry = {
            "SPDXID": reference(package),
            "name": name,
            "versionInfo": number,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "licenseDeclared": expression(package["license"]),
            "licenseConcluded": "NOASSERTION",
            "copyrightText": "NOASSERTION",
        }
        if (name, number) in sums:
            entry["downloadLocation"] = f"https://crates.io/api/v1/crates/{name}/{number}/download"
            entry["checksums"] = [{"algorithm": "SHA256", "checksumValue": sums[name, number]}]
            entry["externalRefs"] = [
                {
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": f"pkg:cargo/{name}@{number}",
                }
            ]
        described.append(entry)
    root = next(entry["SPDXID"] for entry in described if entry["name"] == "glovebox")
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", root)]
    relations += [
        (reference(packages[a]), "DEPENDS_ON", reference(packages[b])) for a, b in edges if b in packages
    ]
    # The guests are inside, as bytes.
    guests = [entry["SPDXID"] for entry in described if entry["name"] in ROOTS and entry["SPDXID"] != root]
    relations += [(root, "CONTAINS", guest) for guest in guests]
    identity = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(described, sort_keys=True))
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"glovebox-{version}",
        "documentNamespace": f"urn:uuid:{identity}",
        "creationInfo": {
            "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: glovebox-release-components"],
        },
        "packages": described,
        "relationships": [
            {"spdxElementId": a, "relationshipType": kind, "relatedSpdxElement": b}
            for a, kind, b in sorted(set(relations))
        ],
    }


def expression(licence):
    """Old crates write `MIT/Apache-2.0`, which is no expression of SPDX, and `+`, which is deprecated."""
    if licence is None:
        return "NOASSERTION"
    return re.sub(r"\s*/\s*", " OR ", licence).replace("MPL-2.0+", "MPL-2.0")


def ordered(packages):
    return sorted(packages.values(), key=lambda package: (package["name"], package["version"]))


def licence_texts(packages):
    """Each text once, with the crates that it is in."""
    texts, without = {}, []
    for package in ordered(packages):
        if package["source"] is None:
            continue
        name = f"{package['name']} {package['version']}"
        folder = pathlib.Path(package["manifest_path"]).parent
        files = sorted(file for file in folder.iterdir() if file.is_file() and LICENCE.match(file.name))
        if not files:
            without.append(f"{name}: {expression(package['license'])}")
        for file in files:
            text = file.read_text(errors="replace").strip()
            texts.setdefault(text, []).append(name)
    parts = ["Glovebox is built from the crates below. Their licences, each with the crates that it comes with."]
    if without:
        parts.append("Crates that bring no text of their licence:\n\n" + "\n".join(without))
    parts += [", ".join(sorted(set(names))) + "\n\n" + text for text, names in texts.items()]
    return ("\n\n" + "-" * 80 + "\n\n").join(parts) + "\n"


if __name__ == "__main__":
    main()
