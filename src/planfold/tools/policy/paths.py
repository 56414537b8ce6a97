"""Paths as a policy sees them: their real targets, and those that a model must not use freely."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

# Files below the workspace that determine what planfold, git or a shell does next.
GUARDED = (
    *("planfold.toml", ".planfold/**", "**/.git/**", "**/.git", "**/.gitmodules", "**/.envrc"),
    *(".bashrc", ".bash_profile", ".profile", ".zshrc", ".zprofile", ".config/**"),
)
# Files below the workspace (which may be a home folder) that usually hold keys.
PRIVATE = (
    *("**/.env", "**/.env.*", "**/.netrc", "**/.git-credentials", "**/.npmrc", "**/.pypirc"),
    *(".ssh/**", ".gnupg/**", ".aws/**", ".azure/**", ".kube/**", ".config/gcloud/**"),
    *(".docker/config.json", "**/id_rsa", "**/id_ed25519", "**/id_ecdsa", "**/*.pem", "**/*.key"),
    *("**/.bash_history", "**/.zsh_history", "**/.git/config"),
)


class WorkspacePaths:
    """What paths mean in a workspace.

    ``guarded`` and ``private`` are further files and folders (absolute) with everything below
    them: not to be changed, not to be read without asking. ``resolve`` follows links; it is the
    only thing here that looks at the disk.
    """

    def __init__(
        self,
        workspace: str | Path,
        *,
        guarded: Sequence[str | Path] = (),
        private: Sequence[str | Path] = (),
        resolve: Callable[[str], str] = os.path.realpath,
    ) -> None:
        self._resolve = resolve
        self.workspace = resolve(str(workspace))
        self._guarded = [resolve(str(path)) for path in guarded]
        self._private = [resolve(str(path)) for path in private]

    def relative(self, path: str, folder: str = ".") -> str | None:
        """``path`` below the workspace with links followed (``.`` is the workspace itself), or
        None if it leads out of it. ``folder`` is what a relative path starts from."""
        if "\0" in path or path.startswith("~"):
            return None
        try:
            real = self._resolve(os.path.join(self.workspace, folder, path))
        except (OSError, ValueError):
            return None
        return self._below(real)

    def _below(self, real: str) -> str | None:
        if real == self.workspace:
            return "."
        inside = self.workspace.rstrip("/") + "/"
        return real.removeprefix(inside) if real.startswith(inside) else None

    def is_inside(self, absolute: str) -> bool:
        """Whether an absolute path leads into the workspace."""
        return self._below(self._resolve(absolute)) is not None

    def is_guarded(self, relative: str) -> bool:
        """Whether changing it changes what planfold or other programs do."""
        return self._is_below(relative, self._guarded) or _matches_any(relative, GUARDED)

    def is_private(self, relative: str) -> bool:
        """Whether it may hold keys."""
        return self._is_below(relative, self._private) or _matches_any(relative, PRIVATE)

    def _is_below(self, relative: str, folders: Sequence[str]) -> bool:
        path = PurePath(self.workspace, relative)
        return any(path.is_relative_to(folder) for folder in folders)

    def why_not(self, word: str, folder: str = ".") -> str | None:
        """Why a program may not be given ``word`` by a rule that does not spell it out, or None.

        Parts of it (``if=/etc/passwd``, ``host:path``, ``@file``) count as paths too.
        """
        for part in re.split(r"[=:,@]", word):
            if not part:
                continue
            if part.startswith(("/", "~", "\\")) or ".." in PurePath(part).parts:
                return f"{word!r} may lead out of the workspace"
            found = self.relative(part, folder)
            if found is None:
                return f"{word!r} leads out of the workspace"
            if self.is_private(found) or self.is_guarded(found):
                return f"{word!r} is a file that holds keys or steers programs"
        return None


def matches(path: str, pattern: str) -> bool:
    """Whether a relative path matches: ``*`` and ``?`` stay within a name, ``**`` crosses them."""
    return _compiled(pattern).fullmatch(path) is not None


def _matches_any(path: str, patterns: Sequence[str]) -> bool:
    # Some file systems ignore case.
    lower = path.casefold()
    return any(matches(lower, pattern) for pattern in patterns)


@functools.lru_cache(1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    out = ""
    for part in re.findall(r"/\*\*$|\*\*/|\*\*|\*|\?|[^*?]", pattern):
        out += {
            "/**": "(?:/.*)?",  # the folder itself too
            "**/": "(?:.*/)?",
            "**": ".*",
            "*": "[^/]*",
            "?": "[^/]",
        }.get(part) or re.escape(part)
    return re.compile(out, re.DOTALL)
