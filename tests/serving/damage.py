"""Changes of an export that were not made by who wrote it."""

import json

from keras_mtl.serving.manifest import content_hash, fingerprint

MANIFEST, ALLOCATION = "assets.extra/manifest.json", "assets.extra/allocation.json"


def flip_a_bit(file, place=None, bit=0):
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1 << bit
    file.write_bytes(content)


def edit_manifest(path, change, sealed=True):
    """Changes the content of a manifest, as `change` does; `sealed`, its own sha256 follows."""
    file = path / MANIFEST
    content = json.loads(file.read_text())
    change(content)
    if sealed and "sha256" in content:
        content["sha256"] = content_hash(content)
    file.write_text(json.dumps(content))


def edit_allocation(path, change):
    """Changes the content of an allocation, and what the manifest says of the file."""
    file = path / ALLOCATION
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    acknowledge(path, ALLOCATION)


def acknowledge(path, *names):
    """Lets the manifest say of files what they are now."""
    found = {name: fingerprint(path / name) for name in names}
    edit_manifest(path, lambda content: content["files"].update(found))
