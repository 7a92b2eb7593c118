"""What an answer is worth: pure functions from an answer and its case to a score.

Normalisation and token F1 are SQuAD's (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250,
section 6.1), so figures can be held against the literature.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.dataset import Case

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "\u2018\u2019\u201c\u201d")


def normalise(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces."""
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(answer: str, truth: str) -> float:
    """1.0 when both are equal once normalised, else 0.0."""
    return float(normalise(answer) == normalise(truth))


def contains(answer: str, truth: str) -> float:
    """1.0 when the answer holds the whole truth, as words, once normalised, else 0.0."""
    return float(f" {normalise(truth)} " in f" {normalise(answer)} ")


def token_f1(answer: str, truth: str) -> float:
    """Harmonic mean of precision and recall over normalised words, between 0.0 and 1.0.

    Two empty texts agree (1.0); an empty one beside one that is not scores 0.0.
    """
    given, wanted = normalise(answer).split(), normalise(truth).split()
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted))


def is_refusal(answer: str, phrases: tuple[str, ...]) -> bool:
    """Whether the answer holds one of ``phrases``, once both are normalised."""
    return any(contains(answer, phrase) for phrase in phrases)


@dataclass(frozen=True)
class Metric:
    """A score for one answer: ``applies`` says to which cases, ``score`` gives 0.0 to 1.0."""

    applies: Callable[[Case], bool]
    score: Callable[[str, Case, tuple[str, ...]], float]


QUALITY: Mapping[str, Metric] = {
    "exact_match": Metric(
        lambda case: case.answerable, lambda answer, case, _: exact_match(answer, case.ground_truth)
    ),
    "contains": Metric(
        lambda case: case.answerable, lambda answer, case, _: contains(answer, case.ground_truth)
    ),
    "f1": Metric(
        lambda case: case.answerable, lambda answer, case, _: token_f1(answer, case.ground_truth)
    ),
    "refusal": Metric(
        lambda case: True,
        lambda answer, case, phrases: float(is_refusal(answer, phrases) != case.answerable),
    ),
}
