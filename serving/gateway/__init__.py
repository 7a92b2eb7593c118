"""The one door of an environment: OpenAI-compatible, keyed, weighted between slots.

Everything behind it may be replaced while people use it, so this package is mostly about
what must not happen then: a request lost, an answer cut in half and taken for whole, a
weight that a stale controller wrote, a prompt in a log.
"""
