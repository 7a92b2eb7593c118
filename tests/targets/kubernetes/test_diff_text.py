"""A difference is read by people: in a terminal, in a pull request, and nothing in it acts."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipelines.targets.kubernetes.diff import Change, difference
from pipelines.targets.kubernetes.diff_text import document, markdown, terminal, unified


def config(**data: Any) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def changed(before: str, after: str) -> Change:
    """A ConfigMap that changes one text."""
    return difference(config(text=before), config(text=after))


ONE = changed("a", "b")
SAME = difference(config(a="b"), config(a="b"))


def test_the_terminal_shows_what_changes_and_in_which_field() -> None:
    assert terminal([ONE, SAME, difference(None, config()), difference(config(), None)]) == (
        "~ ConfigMap/c: data.text\n"
        "    @@ -1,6 +1,6 @@\n"
        "     apiVersion: v1\n"
        "     data:\n"
        "    -  text: a\n"
        "    +  text: b\n"
        "     kind: ConfigMap\n"
        "     metadata:\n"
        "       name: c\n"
        "+ ConfigMap/c\n"
        "- ConfigMap/c\n"
        "1 added, 1 changed, 1 removed"
    )


def test_nothing_to_tell_is_told() -> None:
    assert terminal([SAME]) == "nothing would change"
    assert "nothing would change" in markdown([SAME], "x")


def test_colours_come_only_where_they_are_asked_for() -> None:
    assert "\x1b" not in terminal([ONE])
    assert "\x1b[31m    -  text: a\x1b[0m" in terminal([ONE], colours=True)


def test_long_texts_are_compared_line_by_line() -> None:
    """A dashboard that changes in one line is not shown twice."""
    before = "".join(f"line {n}\n" for n in range(100))
    found = unified(changed(before, before.replace("line 50", "line fifty")))

    assert [line for line in found if line[0] in "+-"] == ["-    line 50", "+    line fifty"]
    assert len(found) < 12


PIECES = ["`", "```", "~", "\n", "</details>", "|", "<b>", "x", " ", "-", "\x1b[2J", "\u202e",
          "\x85", "\u2028", "\r", "@team", "\t", "é"]  # fmt: skip
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@given(HOSTILE, HOSTILE)
def test_nothing_that_is_shown_acts(before: str, after: str) -> None:
    """No escape of a terminal, no turned text, and no fence that is closed from within."""
    found = changed(f"a{before}", f"b{after}")
    text = markdown([found], "x")

    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e]", terminal([found]) + text)
    fence = re.search("^(`{3,})diff$", text, re.M)
    assert fence
    inside = text.split(f"{fence[0]}\n")[1]
    assert inside.count(fence[1]) == 1, "the fence that closes it, and no other"
    assert inside.endswith(f"{fence[1]}\n\n</details>\n")


def test_a_pull_request_has_a_table_and_each_object_folded() -> None:
    text = markdown([ONE, SAME], "assist@1234567 in production, slot green")

    assert text.startswith("### assist@1234567 in production, slot green\n\n1 changed\n")
    assert "| changed | `ConfigMap/c` | `data.text` |" in text
    assert text.count("<details>") == text.count("</details>") == 1


def many(count: int, size: int) -> list[Change]:
    """Changes of ``size`` characters each."""
    return [changed("a" * size, f"{number}" * size) for number in range(count)]


@given(st.integers(0, 12), st.integers(1, 3000), st.integers(400, 8000))
def test_a_comment_is_never_longer_than_it_may_be(count: int, size: int, longest: int) -> None:
    """What is left out is left out whole, and counted."""
    text = markdown(many(count, size), "x", longest)

    assert len(text) <= longest
    assert text.count("<details>") == text.count("</details>")
    assert text.count("```") % 2 == 0


def test_what_is_left_out_is_counted() -> None:
    text = markdown(many(100, 2000), "x")

    assert 60_000 < len(text) <= 65_536
    assert re.search(r"_\d+ objects of 100 are not shown here", text)
    assert text.count("| changed |") == 100


def test_programs_read_every_field() -> None:
    (found,) = document([ONE, SAME])

    assert found["what"] == "changed"
    assert found["fields"] == [{"path": "data.text", "from": "a", "to": "b"}]
