"""Write the libraries of the page into src/planfold/service/page/vendor/, from npm packages.

``python requirements/vendor.py`` fetches the packages with ``npm pack``, compares them with the
hashes below, and writes the files that the browser loads, with their licences. Only what a module
imports is changed: the name of a package becomes the path of its file. It is run by hand when a
version is changed here; neither the installation nor planfold itself needs npm.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).parent.parent / "src/planfold/service/page/vendor"
INDEX: Final = FOLDER / "vendor.json"


class Package(NamedTuple):
    """``files``: what is taken of it, by the name that it gets. ``integrity``: sha512 of the
    archive, as npm writes it."""

    name: str
    version: str
    licence: str
    integrity: str
    files: dict[str, str]


PACKAGES: Final = (
    Package(
        "preact",
        "11.2.0",
        "MIT",
        "/HfHI/7N84e6GrWBJ3J280z3mLaRJiDcSvj/A+y/4AbLnND/1UlGHe1sR6oYuTGwId0nP7dqDU9OnLxMPZ7xBg==",
        {
            "preact.js": "dist/preact.mjs",
            "preact-hooks.js": "hooks/dist/hooks.mjs",
            "preact.LICENSE": "LICENSE",
        },
    ),
    Package(
        "@preact/signals-core",
        "1.14.5",
        "MIT",
        "vcRv7Ityz5JVmeiVqIluLFzT/PDS/AlhHUpw3/aUWqcVUs6bDGIPXE/6RSC4evBNWYvnniozg5Syfj33al3gkg==",
        {
            "signals-core.js": "dist/signals-core.module.js",
            "signals-core.LICENSE": "LICENSE",
        },
    ),
    Package(
        "@preact/signals",
        "2.11.4",
        "MIT",
        "Rb+5RPo9gWSaHtzJeauhHxiC8KP/IF2DEPkHPEOGOnuy2wnJzRqyeLRankUCYd6ADqtxS6GnWGv6Ie343d8aYw==",
        {"signals.js": "dist/signals.module.js", "signals.LICENSE": "LICENSE"},
    ),
    Package(
        "htm",
        "3.1.1",
        "Apache-2.0",
        "983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==",
        {"htm.js": "dist/htm.module.js", "htm.LICENSE": "LICENSE"},
    ),
)
PATHS: Final = {
    "preact": "./preact.js",
    "preact/hooks": "./preact-hooks.js",
    "@preact/signals-core": "./signals-core.js",
}
IMPORTED: Final = re.compile(r'(?<=from")[^".][^"]*(?=")|(?<=import")[^".][^"]*(?=")')


def module_of(text: str) -> str:
    """A module whose imports are paths, without the reference to its source map."""
    text = IMPORTED.sub(lambda match: PATHS[match[0]], text)
    return re.sub(r"\n?//# sourceMappingURL=\S+", "", text).rstrip() + "\n"


def fetched(package: Package, folder: Path) -> dict[str, str]:
    """The files of a package, as they are written."""
    command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
    made = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    archive = folder / made.stdout.split()[-1]
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != package.integrity:
        sys.exit(f"{package.name} {package.version} has another hash: sha512 {digest}")
    found = {}
    with tarfile.open(archive) as members:
        for name, path in package.files.items():
            file = members.extractfile(f"package/{path}")
            assert file is not None
            text = file.read().decode()
            found[name] = module_of(text) if name.endswith(".js") else text
    return found


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    index = []
    with tempfile.TemporaryDirectory() as folder:
        for package in PACKAGES:
            hashes = {}
            for name, text in fetched(package, Path(folder)).items():
                (FOLDER / name).write_text(text, encoding="utf-8")
                hashes[name] = hashlib.sha256(text.encode()).hexdigest()
            about = {"package": package.name, "version": package.version}
            index.append(about | {"licence": package.licence, "sha256": hashes})
    INDEX.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    print(f"Wrote {FOLDER}")


if __name__ == "__main__":
    main()
