"""Files that take long to make, named by what they are made from."""

import hashlib
from pathlib import Path


def path(folder: Path, name: str, suffix: str, *sources: bytes) -> Path:
    """Where the file is to be. If it is not there, those made from older sources are removed."""
    digest = hashlib.blake2b(digest_size=8)
    for source in sources:
        digest.update(hashlib.blake2b(source).digest())
    file = folder / f"{name}.{digest.hexdigest()}{suffix}"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{name}.*"):
            old.unlink()
    return file
