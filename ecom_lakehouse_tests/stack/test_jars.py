"""Downloads: only what the lock names gets into the cache, whatever a repository or a broken line gives."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.settings import Settings
from ecom_lakehouse.stack.jars import LockedJar, fetch_jars, maven_repositories, read_lock

CONTENT = b"a jar, as far as anybody here knows\n" * 1000
JAR = LockedJar("org.example:thing:1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A Maven repository on this machine: the served jar's path, and the URL."""
    jar = tmp_path / "repository" / "org" / "example" / "thing" / "1.0" / "thing-1.0.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "repository")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield jar, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def cached(tmp_path: Path, repository: tuple[Path, str]) -> Settings:
    """Settings with an empty cache and that repository."""
    return Settings(
        _env_file=None, home=tmp_path / "home", cache=tmp_path / "cache", maven_repository=repository[1]
    )


def test_a_jar_is_downloaded_once_and_progress_is_told(
    cached: Settings, repository: tuple[Path, str]
) -> None:
    told: list[tuple[int, int]] = []
    [path] = fetch_jars(cached, lambda done, total: told.append((done, total)), [JAR])
    assert path.read_bytes() == CONTENT
    assert told == [(0, JAR.size), (JAR.size, JAR.size)]
    repository[0].unlink()
    assert fetch_jars(cached, lambda *_: pytest.fail("nothing is to be downloaded"), [JAR]) == [path]


def test_a_jar_that_does_not_match_the_lock_is_refused_and_not_kept(
    cached: Settings, repository: tuple[Path, str]
) -> None:
    repository[0].write_bytes(CONTENT.replace(b"jar", b"cat"))
    with pytest.raises(StackError, match=r"org\.example:thing:1\.0 .* does not match"):
        fetch_jars(cached, None, [JAR])
    assert [path for path in cached.cache.rglob("*") if path.is_file()] == []


def test_a_damaged_or_half_written_jar_in_the_cache_is_downloaded_anew(cached: Settings) -> None:
    [path] = fetch_jars(cached, None, [JAR])
    path.write_bytes(CONTENT[:1000])
    assert fetch_jars(cached, None, [JAR]) == [path]
    assert path.read_bytes() == CONTENT


def test_a_repository_out_of_reach_is_named_with_what_to_do(cached: Settings) -> None:
    away = cached.model_copy(update={"maven_repository": "http://127.0.0.1:9"})
    with pytest.raises(StackError, match=r"127\.0\.0\.1:9 .*LAKEHOUSE_MAVEN_REPOSITORY"):
        fetch_jars(away, None, [JAR])


def test_mavens_own_mirror_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = Settings(_env_file=None, home=tmp_path / "home", cache=tmp_path / "cache")
    assert list(maven_repositories(settings)) == ["central"]
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2" / "settings.xml").write_text(
        '<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0"><mirrors><mirror><id>near</id>'
        "<mirrorOf>central</mirrorOf><url>http://maven.example/central/</url></mirror></mirrors></settings>"
    )
    assert maven_repositories(settings) == {"mirror": "http://maven.example/central"}


def test_the_lock_names_kafka_4_1_and_everything_once() -> None:
    jars = read_lock()
    names = {jar.coordinate.rpartition(":")[0] for jar in jars}
    assert len(names) == len({jar.filename for jar in jars}) == len(jars)
    kafka = {
        jar.coordinate.rpartition(":")[2] for jar in jars if jar.coordinate.startswith("org.apache.kafka:")
    }
    assert kafka == {"4.1.1"}
