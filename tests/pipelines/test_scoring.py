"""What an answer is worth. Figures can be held against SQuAD's, so the cases follow its rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.dataset import Case
from pipelines.scoring import QUALITY, contains, exact_match, is_refusal, normalise, token_f1

NORMALISED: list[tuple[str, str]] = [
    ("", ""),
    ("Green", "green"),
    ("The green lamp.", "green lamp"),
    ("A lamp, an apple, the end", "lamp apple end"),
    ("Theatre and antenna", "theatre and antenna"),
    ("  two \n\t spaces  ", "two spaces"),
    ("don't", "dont"),
    ("don\u2019t", "dont"),
    ("\u201cgreen\u201d", "green"),
    ("three-way", "threeway"),
    ("U.S.A.", "usa"),
    ("A. The! an?", ""),
    ("$1,000.50", "100050"),
    ("Größe ÄÖÜ", "größe äöü"),
    ("日本 語", "日本 語"),
    ("non\u00a0breaking", "non breaking"),
    ("the\nthe\nthe", ""),
]


@pytest.mark.parametrize(("text", "normal"), NORMALISED)
def test_normalisation_drops_case_punctuation_articles_and_spaces(text: str, normal: str) -> None:
    assert normalise(text) == normal


# answer, truth, exact match, contains, F1
SCORED: list[tuple[str, str, float, float, float]] = [
    ("green", "green", 1, 1, 1.0),
    ("The Green!", "green", 1, 1, 1.0),
    ("It is green.", "green", 0, 1, 2 * 1 / (3 + 1)),
    ("green lamp", "lamp green", 0, 0, 1.0),
    ("greenish", "green", 0, 0, 0.0),
    ("blue", "green", 0, 0, 0.0),
    ("eight working days", "about eight working days", 0, 0, 2 * 3 / (3 + 4)),
    ("green green green", "green", 0, 1, 2 * 1 / (3 + 1)),
    ("green", "green green", 0, 0, 2 * 1 / (1 + 2)),
    ("", "green", 0, 0, 0.0),
    ("...", "green", 0, 0, 0.0),
    ("the", "a", 1, 1, 1.0),
    ("10 hours", "10", 0, 1, 2 * 1 / (2 + 1)),
    ("110", "10", 0, 0, 0.0),
    ("I don\u2019t know.", "i don't know", 1, 1, 1.0),
]


@pytest.mark.parametrize(("answer", "truth", "exact", "within", "f1"), SCORED)
def test_scores(answer: str, truth: str, exact: float, within: float, f1: float) -> None:
    assert exact_match(answer, truth) == exact
    assert contains(answer, truth) == within
    assert token_f1(answer, truth) == pytest.approx(f1)


WORDS = ["a", "the", "green", "lamp,", "is", "not.", "Ten", "10", "\u2019", "é"]
words = st.lists(st.sampled_from(WORDS), max_size=8)
answers = st.text(max_size=30) | words.map(" ".join)


@given(answers, answers)
def test_scores_are_shares_and_agree_with_each_other(answer: str, truth: str) -> None:
    """F1 is symmetric; an exact match is whole in every other score as well."""
    f1 = token_f1(answer, truth)

    assert 0 <= f1 <= 1
    assert f1 == token_f1(truth, answer)
    assert exact_match(answer, truth) in (0, 1)
    assert contains(answer, truth) in (0, 1)
    if exact_match(answer, truth):
        assert f1 == 1
        assert contains(answer, truth) == 1


@given(answers)
def test_every_answer_agrees_with_itself(answer: str) -> None:
    assert exact_match(answer, answer) == contains(answer, answer) == token_f1(answer, answer) == 1


@given(answers)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    """Removing an article can leave no new one behind that matters to a comparison of words."""
    assert normalise(normalise(text)) == normalise(text)


REFUSALS: list[tuple[str, bool]] = [
    ("I don't know.", True),
    ("I don\u2019t know", True),
    ("Sorry, I DON'T KNOW that.", True),
    ("I do not know", False),
    ("I don't know-how", False),
    ("", False),
]


@pytest.mark.parametrize(("answer", "refuses"), REFUSALS)
def test_a_refusal_holds_one_of_the_phrases(answer: str, refuses: bool) -> None:
    assert is_refusal(answer, ("cannot say", "i don't know")) == refuses


ANSWERABLE = Case("1", "?", "", "green")
UNANSWERABLE = Case("2", "?", "", "I don't know", ("unanswerable",))

# metric, case, answer, score; None where the metric has no say
METRICS: list[tuple[str, Case, str, float | None]] = [
    ("exact_match", ANSWERABLE, "green", 1),
    ("exact_match", UNANSWERABLE, "I don't know", None),
    ("contains", UNANSWERABLE, "I don't know", None),
    ("f1", UNANSWERABLE, "I don't know", None),
    ("refusal", ANSWERABLE, "green", 1),
    ("refusal", ANSWERABLE, "I don't know", 0),
    ("refusal", UNANSWERABLE, "green", 0),
    ("refusal", UNANSWERABLE, "I don't know", 1),
]


@pytest.mark.parametrize(("name", "case", "answer", "score"), METRICS)
def test_refusing_is_right_where_there_is_no_answer_and_only_there(
    name: str, case: Case, answer: str, score: float | None
) -> None:
    """What cannot be answered has no truth to be held against."""
    metric = QUALITY[name]

    assert metric.applies(case) == (score is not None)
    if score is not None:
        assert metric.score(answer, case, ("i don't know",)) == score
