"""Component: the environments of an application in the repository that GitOps follows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pulumi

from infra.gitops.folder import RenderedFolder


class GitopsFolders(pulumi.ComponentResource):
    """One folder an environment. Committing and pushing them is their owner's, with a review."""

    def __init__(self, app: Path, copy: Path, environments: Sequence[str]) -> None:
        super().__init__("greenlight:gitops:Folders", f"{app.name}-gitops")
        options = pulumi.ResourceOptions(parent=self)
        self.folders = [RenderedFolder(app, copy, name, options) for name in environments]
        self.register_outputs({})
