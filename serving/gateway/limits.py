"""Every number that bounds the gateway, in one place, so that no limit is a surprise."""

from __future__ import annotations

from dataclasses import dataclass

from serving.counting.answers import ANSWER_BYTES


@dataclass(frozen=True)
class Limits:
    """Bounds of one gateway process; the defaults serve, tests shorten them."""

    body_bytes: int = 4 * 1024 * 1024
    """Largest request body, after decompression. 4 MiB is about a million tokens of text."""

    patience_seconds: float = 5.0
    """How long a request waits for a slot that is being restarted before it gets 503. Longer
    than an application needs to come back (about a second), shorter than a person's."""

    answer_bytes: int = ANSWER_BYTES
    """How much of an answer is gathered to be read at its end."""

    mirror_copies: int = 32
    """Mirrored copies under way at once; more are dropped and counted. It bounds their memory,
    and what a slow slot can cost the machine that the others share."""

    silence_seconds: float = 600.0
    """Longest time without a byte from a slot. An answer that is not streamed is silent until
    it is whole; 600 s is the openai client's own default timeout."""

    grace_seconds: float = 8.0
    """After SIGTERM, how long requests in flight may take to finish before they are cut. Less
    than the 10 s after which the supervisor kills."""

    backlog: int = 1024
    """Connections that the kernel queues for us while we restart or are busy."""
