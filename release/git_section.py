"""``git`` of a ``kubernetes`` section of ``llm.yaml``: where Git is, and who reads it.

The section is committed, reviewed and printed, so it never holds a credential. Who may push is
decided by the git configuration, or the agent, of whoever runs the command.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from release.sections import FilePath, Label, Section

_HOST = r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}(?::[0-9]{1,5})?"
_PATH = r"/[A-Za-z0-9_~][\w.~/-]{0,500}"
_FORMS = (
    rf"https://{_HOST}{_PATH}",
    rf"ssh://(?:[A-Za-z0-9_][\w.-]{{0,63}}@)?{_HOST}{_PATH}",
    r"[A-Za-z0-9_][\w.-]{0,63}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}:[A-Za-z0-9_~][\w.~/-]{0,500}",
    rf"file://{_PATH}",
    _PATH,
)
_ANY_FORM = re.compile("|".join(f"(?:{form})" for form in _FORMS), re.ASCII)

_NO_REFERENCE = re.compile(r"\.\.|//|/$|\.$|\.lock(?:/|$)|/\.")
"""What git refuses in a branch's name, https://git-scm.com/docs/git-check-ref-format."""


def _repository(value: str) -> str:
    """``value``, or a complaint that shows nothing of it: it may hold a token."""
    if not _ANY_FORM.fullmatch(value) or ".." in value:
        text = (
            "a repository such as https://HOST/PATH, ssh://git@HOST/PATH, git@HOST:PATH or an "
            "absolute path, without password, token or query. Git finds credentials by its own "
            "configuration (credential.helper, an SSH agent)"
        )
        raise PydanticCustomError("withheld", "{text}", {"text": text})
    return value


def _branch(value: str) -> str:
    if _NO_REFERENCE.search(value):
        raise ValueError("must be a name that git takes for a branch, such as main")
    return value


def _folder(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][\w.-]*(?:/[A-Za-z0-9_][\w.-]*)*", value, re.ASCII):
        raise ValueError("must be folders of letters, digits, dots and dashes, such as apps/bot")
    return value


Branch = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=200),
    AfterValidator(_branch),
]


class Git(Section):
    """Greenlight commits, and a controller in the cluster applies what it finds."""

    repository: Annotated[str, AfterValidator(_repository)] = Field(
        description="https, ssh or a path; never with a credential in it"
    )
    branch: Branch = Field("main", description="that the controller follows")
    folder: Annotated[FilePath, AfterValidator(_folder)] | None = Field(
        None, description="in it, the environment's own; None: NAME/ENVIRONMENT"
    )
    controller: Literal["argocd", "flux"] = Field(description="who applies the folder")
    name: Label | None = Field(
        None, description="of its Application or Kustomization; None: NAME.ENVIRONMENT"
    )
    namespace: Label | None = Field(None, description="of that; None: argocd, or flux-system")
    project: Label = Field("default", description="Argo CD's AppProject")
    secret: Label | None = Field(
        None, description="Flux's Secret with the repository's credential; None: it needs none"
    )
    propose: Literal["commit", "pull-request"] = Field(
        "commit", description="pull-request: on GitHub, and Greenlight waits until it is merged"
    )
    wait_seconds: int = Field(
        600, ge=1, le=86_400, description="until the cluster reports the commit"
    )
