"""What was typed for the engine is read as Pulumi reads it, or refused."""

from __future__ import annotations

import pytest

from pipelines.typed import parse_typed
from release.errors import BadInput


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("up", "up"),
        ("up --stack local --yes", "up"),
        ("--stack local up", "up"),
        ("--stack=local up", "up"),
        ("-slocal up", "up"),
        ("-Qs local up", "up"),
        ("-Q destroy --stack local --yes", "destroy"),
        ("--fully-qualify-stack-names -e destroy", "destroy"),
        ("-v9 destroy", "destroy"),
        ("-v 9 destroy", "destroy"),
        ("-v=9 destroy", "destroy"),
        ("--verbose 9 --tracing file:x -C . destroy", "destroy"),
        ("-s local stack output --json", "stack output"),
        ("stack -s local rm", "stack rm"),
        ("--color never --non-interactive destroy -y", "destroy"),
        ("up -m preview -p 3", "up"),
        ("stack", "stack"),
        ("--help", ""),
        ("", ""),
    ],
)
def test_the_command_is_found_behind_options(text: str, words: str) -> None:
    """Pulumi takes options before its command as well as after it."""
    assert " ".join(parse_typed(text.split()).words) == words


@pytest.mark.parametrize(
    "text",
    ["--yes up", "-y destroy", "--target preview destroy", "-Qy up", "-- up", "--new-one up"],
)
def test_an_option_that_is_not_known_stands_behind_the_command(text: str) -> None:
    """Whether a word after it is its value or the command, only Pulumi knows."""
    with pytest.raises(BadInput, match="Write the command first"):
        parse_typed(text.split())


@pytest.mark.parametrize("text", ["-v9", "-Q", "--stack local", "--help --stack local"])
def test_options_alone_are_no_command(text: str) -> None:
    with pytest.raises(BadInput, match="expected a command"):
        parse_typed(text.split()).refuse()


@pytest.mark.parametrize("text", ["", "--help", "-h", "--version"])
def test_without_a_command_there_is_help_and_version(text: str) -> None:
    typed = parse_typed(text.split())
    typed.refuse()

    assert typed.only_looks


@pytest.mark.parametrize(
    "text",
    ["--stack other up", "up -s other", "up -sother", "up -s=other", "up --stack=other",
     "up -ys other", "-Qsother destroy", "preview --stack organization/other/local",
     "up --stack local --stack other"],
)  # fmt: skip
def test_another_stack_is_refused(text: str) -> None:
    """It would hold the same environments, and write its settings into the checkout."""
    with pytest.raises(BadInput, match="--stack: expected local"):
        parse_typed(text.split()).refuse()


@pytest.mark.parametrize("text", ["up -s local", "up --stack organization/greenlight/local"])
def test_the_stack_may_be_named(text: str) -> None:
    parse_typed(text.split()).refuse()


@pytest.mark.parametrize(
    "text",
    ["stack init x", "stack new x", "stack select local", "stack rename x", "stack rm",
     "stack change-secrets-provider passphrase", "stack migrate file://x", "new python",
     "-Q stack -s local init x", "destroy --remove --yes", "dn --remove"],
)  # fmt: skip
def test_the_one_stack_is_made_chosen_and_removed_by_greenlight(text: str) -> None:
    """Removed by hand, a stack takes the checkout's settings with it."""
    with pytest.raises(BadInput, match=r"stack|--remove"):
        parse_typed(text.split()).refuse()


@pytest.mark.parametrize("text", ["stack init --help", "up --yes --help", "destroy -h -s local"])
def test_help_is_given_for_everything(text: str) -> None:
    typed = parse_typed(text.split())
    typed.refuse()

    assert typed.only_looks


@pytest.mark.parametrize("text", ["up -m --help", "up -c --help", "up -- --help"])
def test_a_value_is_no_call_for_help(text: str) -> None:
    """Pulumi takes the word for the option's value, and goes ahead."""
    assert not parse_typed(text.split()).only_looks


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("up", True),
        ("up --yes --skip-preview --stack local --message done", True),
        ("-Q up -yf", True),
        ("destroy --yes", True),
        ("up --target urn", False),
        ("up -t urn", False),
        ("up -yt urn", False),
        ("up --exclude urn", False),
        ("up --target-replace urn", False),
        ("up --replace=urn", False),
        ("up --plan p", False),
        ("up -c a=b", False),
        ("up --config a=b", False),
        ("up -C elsewhere", False),
        ("up --refresh-only", False),
        ("up template", False),
        ("destroy --preview-only", False),
        ("destroy -x urn", False),
        ("destroy --exclude-protected", False),
    ],
)
def test_a_command_is_plain_when_nothing_narrows_it(text: str, plain: bool) -> None:
    """An option that is not known may."""
    assert parse_typed(text.split()).plain is plain


@pytest.mark.parametrize(
    "text",
    ["up", "update", "preview", "pre", "destroy", "down", "dn", "refresh", "import", "watch",
     "config get x", "logs", "logs list", "-Q destroy"],
)  # fmt: skip
def test_commands_that_would_write_settings_are_told_which(text: str) -> None:
    """As `pulumi COMMAND --help` lists --config-file."""
    assert parse_typed(text.split()).takes_settings
