"""Kafka's jars: resolved once into a lock, then fetched from a Maven repository and verified against it.

The lock (`infra/kafka/jars.lock`) names every jar with its size and SHA-256. To move to another version,
change `ROOTS` and run `python -m ecom_lakehouse.stack.jars`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.settings import PROJECT_ROOT, Settings

LOCK = PROJECT_ROOT / "infra" / "kafka" / "jars.lock"
ROOTS = ("org.apache.kafka:kafka_2.13:4.1.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3")
DOWNLOADS_AT_ONCE = 6
TIMEOUT_SECONDS = 30

Progress = Callable[[int, int], None]
"""Told the bytes that are there, and the bytes there will be."""


@dataclass(frozen=True)
class LockedJar:
    """One jar as the lock names it: its coordinate is group:artifact:version, or group:artifact:version:classifier."""

    coordinate: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        """Its name in the cache, unique among the locked jars."""
        return "-".join(self.coordinate.split(":")[1:]) + ".jar"

    def matches(self, path: Path) -> bool:
        """Whether the file is this very jar."""
        return path.is_file() and path.stat().st_size == self.size and _sha256(path) == self.sha256


def read_lock(path: Path = LOCK) -> list[LockedJar]:
    """The locked jars, in the order of the class path."""
    lines = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [LockedJar(coordinate, int(size), sha256) for coordinate, size, sha256 in lines]


def fetch_jars(
    settings: Settings,
    progress: Progress | None = None,
    jars: Iterable[LockedJar] | None = None,
    folder_name: str = "kafka",
) -> list[Path]:
    """The paths of all locked jars in the cache; what is missing or damaged there is downloaded anew.

    A download goes to a folder of its own and moves into the cache only when it is whole and matches the
    lock, so a download that was cut off, or two at once, leave nothing wrong behind.

    Raises:
        StackError: the repository cannot be reached, or gave a file that does not match the lock.
    """
    wanted = list(read_lock() if jars is None else jars)
    folder = settings.cache / folder_name
    folder.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in wanted if not jar.matches(folder / jar.filename)]
    if missing:
        if progress:
            progress(0, sum(jar.size for jar in missing))
        with tempfile.TemporaryDirectory(dir=settings.cache, prefix="download-") as scratch:
            _download(settings, missing, Path(scratch), folder, progress)
    return [folder / jar.filename for jar in wanted]


def _download(
    settings: Settings, jars: list[LockedJar], scratch: Path, folder: Path, progress: Progress | None
) -> None:
    context = _maven(settings, scratch)
    total, done = sum(jar.size for jar in jars), 0

    def fetch(jar: LockedJar) -> LockedJar:
        group, artifact, version, *classifier = jar.coordinate.split(":")
        try:
            path = context.project(group, artifact).at_version(version).artifact(*classifier).resolve()
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
            raise StackError(
                f"{jar.coordinate} could not be downloaded from {', '.join(context.remote_repos.values())} "
                f"({error}); check the network, or set LAKEHOUSE_MAVEN_REPOSITORY to a mirror."
            ) from error
        if not jar.matches(path):
            raise StackError(
                f"{jar.coordinate} from {', '.join(context.remote_repos.values())} does not match "
                f"{LOCK}: {path.stat().st_size} bytes, SHA-256 {_sha256(path)}, where {jar.size} bytes and "
                f"{jar.sha256} are locked. Nothing of it was kept; use a repository that serves the original."
            )
        os.replace(path, folder / jar.filename)
        return jar

    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        for jar in pool.map(fetch, jars):
            done += jar.size
            if progress:
                progress(done, total)


def maven_repositories(settings: Settings) -> dict[str, str]:
    """Where jars come from: the setting, else a mirror from Maven's or jgo's own settings, else Central."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL

    if settings.maven_repository:
        return {"configured": settings.maven_repository.rstrip("/")}
    if mirror := _maven_mirror(Path.home() / ".m2" / "settings.xml"):
        return {"mirror": mirror}
    return {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}


def _maven_mirror(path: Path) -> str | None:
    """The URL of the mirror that Maven's settings file names for Central, if any."""
    if not path.is_file():
        return None
    try:
        mirrors = ElementTree.parse(path).getroot().iterfind("{*}mirrors/{*}mirror")
    except ElementTree.ParseError as error:
        raise StackError(f"{path} is no valid XML ({error}); mend it, or move it away.") from error
    for mirror in mirrors:
        of = {name.strip() for name in (mirror.findtext("{*}mirrorOf") or "").split(",")}
        if of & {"*", "central", "external:*"} and "!central" not in of:
            return (mirror.findtext("{*}url") or "").strip().rstrip("/") or None
    return None


def _maven(settings: Settings, repo_cache: Path) -> Any:
    from jgo.maven import MavenContext, PythonResolver

    return MavenContext(
        resolver=PythonResolver(),
        repo_cache=repo_cache,
        remote_repos=maven_repositories(settings),
        timeout=TIMEOUT_SECONDS,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_lock(settings: Settings, path: Path = LOCK, roots: Sequence[str] = ROOTS) -> int:
    """Resolves the roots with all they need at run time, downloads it and writes the lock; gives its length."""
    from jgo.parse import Coordinate

    settings.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.cache, prefix="download-") as scratch:
        context = _maven(settings, Path(scratch))
        # `!`: a root's own dependency management must not change the versions of another's
        wanted = [context.create_dependency(Coordinate.parse(f"{root}!")) for root in roots]
        inputs, transitive = context.resolver.resolve(wanted)
        lines = []
        for dependency in [*inputs, *(one for one in transitive if one.scope in ("compile", "runtime"))]:
            jar = dependency.artifact.resolve()
            parts = (
                dependency.groupId,
                dependency.artifactId,
                dependency.version,
                dependency.artifact.classifier,
            )
            coordinate = ":".join(filter(None, parts))
            lines.append(f"{coordinate} {jar.stat().st_size} {_sha256(jar)}\n")
    header = "# coordinate, bytes, SHA-256. Written by: python -m ecom_lakehouse.stack.jars\n"
    path.write_text(header + "".join(lines))
    return len(lines)


def remove_jars(settings: Settings) -> None:
    """Empties the cache."""
    shutil.rmtree(settings.cache, ignore_errors=True)


if __name__ == "__main__":
    from ecom_lakehouse.settings import load_settings

    sys.stdout.write(f"{write_lock(load_settings())} jars locked in {LOCK}\n")
