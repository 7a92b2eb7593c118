"""An environment's shell in a working copy, as a Pulumi resource: written by ``up`` alone.

The engine stores the provider class itself, so it holds nothing: see ``infra.local.environment``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from infra.gitops import files


class FolderProvider(ResourceProvider):
    """Calls ``infra.gitops.files``, which is free to change."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Write the folder."""
        from infra.gitops import files

        return CreateResult(id_=props["folder"], outs=files.write(props))

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Compare what is with what is asked."""
        from infra.gitops import files

        changes, replaces = files.differences(_olds, _news)
        return DiffResult(changes=changes, replaces=replaces, delete_before_replace=True)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """What is there now."""
        from infra.gitops import files

        found = files.now(props)
        return ReadResult(id_=id_ if found else "", outs=found or {})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Write what changed."""
        from infra.gitops import files

        return UpdateResult(outs=files.write(_news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Take away what was written, and nothing else."""
        from infra.gitops import files

        files.remove(_props)


class RenderedFolder(Resource, module="gitops", name="Folder"):
    """The shell of one environment below ``copy``, in the folder that its controller follows."""

    def __init__(
        self, app: Path, copy: Path, environment: str, options: pulumi.ResourceOptions | None = None
    ) -> None:
        shell = files.shell(app, environment)
        asked = {
            "app": str(app),
            "environment": environment,
            "folder": str(copy / shell.folder),
            "digest": files.digest(shell),
            "written": None,
        }
        name = f"{shell.application}-{environment}-gitops"
        super().__init__(FolderProvider(), name, asked, options)
