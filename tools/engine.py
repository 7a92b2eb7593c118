"""Provides the Pulumi CLI with its language host for Python, in three ways.

What the machine has comes first, then the vendor's release, then a build from Go modules,
which needs nothing but the module proxy. Each way either gives a complete folder or a reason.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from tools.golang import go_build, go_environment, module_folder, remove_caches, require_disk
from tools.layout import Layout, platform_key
from tools.probe import (
    LANGUAGE_HOST,
    Tool,
    ask,
    find_go,
    find_pulumi,
    number,
    pulumi_in_cache,
)
from tools.progress import Progress
from tools.work import SetupError, locked, place, scratch

_SDK = "github.com/pulumi/pulumi/sdk/v3"
_VERSION_VARIABLE = f"{_SDK}/go/common/version.Version"
_SCRIPTS = (f"python/cmd/{LANGUAGE_HOST}-exec", "python/dist/pulumi-resource-pulumi-python")
"""What the language host starts besides Python itself; the second is for dynamic providers."""

_CONNECT_SECONDS, _STALL_SECONDS = 5, 60
_LARGEST_DOWNLOAD = 1 << 30

Way = Callable[[Layout, Path, Progress], str]
"""Fills ``work/made/bin`` and says where it came from, or raises SetupError with the reason."""


def provide_pulumi(layout: Layout, progress: Progress) -> Tool:
    """A complete Pulumi. SetupError names all three ways and why each failed."""
    found = find_pulumi(layout)
    if found.usable:
        return found
    with locked(layout.tools, "installing tools", progress):
        cached = pulumi_in_cache(layout)
        return cached if cached.usable else _install(layout, progress, found.why_not)


def _install(layout: Layout, progress: Progress, why_not: str) -> Tool:
    reasons = [f"on PATH: {why_not}"]
    ways: tuple[tuple[str, Way], ...] = (
        ("the official release", from_release),
        ("a build from Go modules", from_source),
    )
    for name, way in ways:
        progress.say(f"Pulumi, {reasons[-1]}. Next: {name}.")
        try:
            with scratch(layout.tools) as work:
                _make(layout, work, progress, way)
            return pulumi_in_cache(layout)
        except SetupError as error:
            reasons.append(f"{name}: {error}")
    listed = "\n".join(f"  {index}. {reason}" for index, reason in enumerate(reasons, 1))
    raise SetupError(
        f"the Pulumi CLI {layout.pins['pulumi']['pin']} is needed, and none of three ways "
        f"gave one:\n{listed}\nAny one of them is enough."
    )


def _make(layout: Layout, work: Path, progress: Progress, way: Way) -> None:
    """Fill a folder by ``way``, try what is in it, and only then give it its name."""
    made = work / "made"
    (made / "bin").mkdir(parents=True)
    origin = way(layout, work, progress)
    try:
        said = ask([str(made / "bin" / "pulumi"), "version"])
    except OSError as error:
        raise SetupError(f"the pulumi it gave {error}") from error
    if number(said) != number(layout.pins["pulumi"]["pin"]):
        raise SetupError(f"the pulumi it gave says {said!r}")
    if not os.access(made / "bin" / LANGUAGE_HOST, os.X_OK):
        raise SetupError(f"it gave no {LANGUAGE_HOST}")
    (made / "origin").write_text(origin + "\n", "utf-8")
    place(made, layout.pulumi)


def from_release(layout: Layout, work: Path, progress: Progress) -> str:
    """The vendor's archive, by the committed checksum; $GREENLIGHT_PULUMI_URL names a mirror."""
    pins = layout.pins["pulumi"]
    expected = pins["sha256"].get(platform_key())
    if not expected:
        raise SetupError(f"there is none for {platform_key()}")
    base = os.environ.get("GREENLIGHT_PULUMI_URL") or pins["url"]
    url = f"{base.rstrip('/')}/pulumi-v{pins['pin']}-{platform_key()}.tar.gz"
    archive = work / "pulumi.tar.gz"
    with progress.step(f"downloading {url}"):
        found = _download(url, archive, progress)
    if found != expected:
        archive.unlink()
        raise SetupError(f"{url} has SHA-256 {found}, expected {expected}: refused and removed")
    _unpack(archive, work / "made" / "bin")
    return "the official release, by its checksum"


def _download(url: str, target: Path, progress: Progress) -> str:
    """Fetch ``url`` and return its SHA-256. A server that does not answer at once is given up
    quickly; one that has answered may be slow."""
    if not url.startswith(("https://", "http://")):
        raise SetupError(f"{url} is not an http address")
    try:
        head = urllib.request.Request(url, method="HEAD")  # noqa: S310  (the scheme is checked above)
        urllib.request.urlopen(head, timeout=_CONNECT_SECONDS).close()  # noqa: S310
        with urllib.request.urlopen(url, timeout=_STALL_SECONDS) as source:  # noqa: S310
            return _save(source, target, progress)
    except (OSError, http.client.HTTPException) as error:
        raise SetupError(f"{url}: {getattr(error, 'reason', None) or error}") from error


def _save(source: http.client.HTTPResponse, target: Path, progress: Progress) -> str:
    total = f" of {source.length >> 20}" if source.length else ""
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as sink:
        while block := source.read(1 << 18):
            size += len(block)
            if size > _LARGEST_DOWNLOAD:
                raise SetupError(f"more than {_LARGEST_DOWNLOAD >> 20} MB came: given up")
            digest.update(block)
            sink.write(block)
            progress.tick(f"{size >> 20}{total} MB")
    return digest.hexdigest()


def _unpack(archive: Path, folder: Path) -> None:
    """Only what runs Python programs: the archive's other language hosts are 300 MB."""
    try:
        with tarfile.open(archive) as source:
            for member in source:
                name = PurePosixPath(member.name).name
                wanted = name == "pulumi" or "python" in name
                if member.isfile() and wanted and (content := source.extractfile(member)):
                    with (folder / name).open("wb") as sink:
                        shutil.copyfileobj(content, sink)
                    (folder / name).chmod(0o755)
    except (tarfile.TarError, EOFError) as error:
        raise SetupError(f"{archive.name} cannot be unpacked: {error}") from error


def from_source(layout: Layout, work: Path, progress: Progress) -> str:
    """Built from Go modules whose hashes are committed, with Go's caches thrown away after.

    Engine and language host are modules of their own, since the last language host that the
    module proxy serves belongs to a much older SDK."""
    for name in ("engine", "host"):
        shutil.copytree(layout.root / "tools" / name, work / name)
    env = go_environment(work)
    go = find_go(layout.pins["go"]["floor"], work / "engine", env)
    if not go.usable:
        raise SetupError(go.why_not)
    require_disk(work, layout.pins["go"]["disk_gb"])
    version = f"v{layout.pins['pulumi']['pin']}"
    with progress.step(f"building Pulumi {version} with Go {go.version}, some minutes, once"):
        go_build(go, work / "engine", f"-X {_VERSION_VARIABLE}={version}", env, progress)
        go_build(go, work / "host", "", env, progress)
        _copy_scripts(go, work, env)
        remove_caches(work, env, progress)
    return f"built from Go modules with Go {go.version}"


def _copy_scripts(go: Tool, work: Path, env: dict[str, str]) -> None:
    """Two scripts that the Go modules carry but Go does not build."""
    where = module_folder(go, work / "engine", _SDK, env)
    for script in map(Path, _SCRIPTS):
        target = work / "made" / "bin" / script.name
        shutil.copyfile(where / script, target)
        target.chmod(0o755)
