"""In which order kinds are applied; they are deleted in the reverse.

What others stand on comes first; traffic comes last.
"""

from __future__ import annotations

_ORDER = (
    ("Namespace", "PriorityClass"),
    (
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "NetworkPolicy",
        "SecretProviderClass",
        "ExternalSecret",
    ),
    ("ConfigMap",),
    ("Service", "PodDisruptionBudget"),
    ("Deployment",),
    ("HorizontalPodAutoscaler", "ScaledObject", "PodMonitor", "PrometheusRule"),
    ("HTTPRoute",),
    ("GitRepository",),
    ("Application", "Kustomization"),
)

RANKS = {kind: rank for rank, kinds in enumerate(_ORDER) for kind in kinds}
"""Kind to rank."""
