"""The nouns: spec, release, evidence, ledger, errors. Nothing here imports another package."""
