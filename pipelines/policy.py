"""What a release is held against, as one digest: other limits need other evidence."""

from __future__ import annotations

from policies.rules.licenses import PLATFORM_DEFAULT
from release.integrity import canonical, sha256
from release.spec import Spec

EVALUATOR_VERSION = 1
"""Goes up when a metric, a control or a rule means something else than before."""


def policy_digest(spec: Spec) -> str:
    """SHA-256 over everything that decides between yes and no, and over nothing else."""
    evaluation = spec.evaluation
    return sha256(
        canonical(
            {
                "evaluator": EVALUATOR_VERSION,
                "gates": [gate.model_dump(mode="json") for gate in evaluation.gates],
                "refusal": list(evaluation.refusal),
                "latency_cases": evaluation.latency_cases,
                "platform": {"licenses": sorted(PLATFORM_DEFAULT)},
                "compliance": spec.compliance.model_dump(mode="json"),
                "model": {"license": spec.model.license},
            }
        )
    )
