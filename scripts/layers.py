# SPDX-License-Identifier: Apache-2.0
"""The module table of docs/architecture.md, read for the lints."""

import re
from pathlib import Path

HEAD = ["module", "job", "may include", "the only place for"]


class Module:
    def __init__(self, path, uses, headers):
        self.path = path  # "libkms/base"
        self.name = path.rsplit("/", 1)[-1]
        self.uses = uses  # names
        self.headers = headers  # patterns such as "openssl/*"


def tables(text):
    """Each table whose head line is HEAD, as a list of Modules, in order."""
    found, rows = [], None
    for line in text.splitlines():
        if not line.startswith("|"):
            rows = None
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        cells += [""] * (len(HEAD) - len(cells))  # strip() took the empty last one
        if cells == HEAD:
            rows = []
            found.append(rows)
        elif rows is not None and not set(cells[0]) <= set("-:"):
            if len(cells) != len(HEAD):
                raise ValueError(f"not {len(HEAD)} columns: {line}")
            rows.append(Module(cells[0], cells[2].split(), re.findall(r"`<([^>]+)>`", cells[3])))
    return found


def read(root):
    """(modules, rooms that are empty yet)."""
    found = tables((Path(root) / "docs/architecture.md").read_text(encoding="utf-8"))
    if len(found) != 2 or not found[0]:
        raise ValueError("docs/architecture.md: not the two module tables")
    return found[0], found[1]


def owner(modules, path):
    """The module that a path below the source root belongs to, or None."""
    for module in modules:
        if str(path).startswith(module.path + "/"):
            return module
    return None
