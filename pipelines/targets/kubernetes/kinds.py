"""The kinds of objects that Greenlight reads or writes, and where the API has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from release.errors import GreenlightError


@dataclass(frozen=True)
class Kind:
    """``version`` is the apiVersion, ``plural`` the name of its collection."""

    version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "") -> str:
        """Of one object, or of the collection without a ``name``."""
        root = "/api/v1" if self.version == "v1" else f"/apis/{self.version}"
        inside = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        return f"{root}{inside}/{self.plural}" + (f"/{quote(name)}" if name else "")


_NETWORK, _GATEWAY = "networking.k8s.io/v1", "gateway.networking.k8s.io/v1"
_ROLES, _MONITORS = "rbac.authorization.k8s.io/v1", "monitoring.coreos.com/v1"

KINDS: Mapping[str, Kind] = {
    "Namespace": Kind("v1", "namespaces", namespaced=False),
    "Node": Kind("v1", "nodes", namespaced=False),
    "PriorityClass": Kind("scheduling.k8s.io/v1", "priorityclasses", namespaced=False),
    "ConfigMap": Kind("v1", "configmaps"),
    "Event": Kind("v1", "events"),
    "LimitRange": Kind("v1", "limitranges"),
    "Pod": Kind("v1", "pods"),
    "ResourceQuota": Kind("v1", "resourcequotas"),
    "Secret": Kind("v1", "secrets"),
    "Service": Kind("v1", "services"),
    "ServiceAccount": Kind("v1", "serviceaccounts"),
    "PersistentVolumeClaim": Kind("v1", "persistentvolumeclaims"),
    "Deployment": Kind("apps/v1", "deployments"),
    "StatefulSet": Kind("apps/v1", "statefulsets"),
    "CronJob": Kind("batch/v1", "cronjobs"),
    "Job": Kind("batch/v1", "jobs"),
    "HorizontalPodAutoscaler": Kind("autoscaling/v2", "horizontalpodautoscalers"),
    "Lease": Kind("coordination.k8s.io/v1", "leases"),
    "NetworkPolicy": Kind(_NETWORK, "networkpolicies"),
    "PodDisruptionBudget": Kind("policy/v1", "poddisruptionbudgets"),
    "Role": Kind(_ROLES, "roles"),
    "RoleBinding": Kind(_ROLES, "rolebindings"),
    "Gateway": Kind(_GATEWAY, "gateways"),
    "HTTPRoute": Kind(_GATEWAY, "httproutes"),
    "PodMonitor": Kind(_MONITORS, "podmonitors"),
    "PodMonitor.azmonitoring.coreos.com": Kind("azmonitoring.coreos.com/v1", "podmonitors"),
    "PrometheusRule": Kind(_MONITORS, "prometheusrules"),
    "ScaledObject": Kind("keda.sh/v1alpha1", "scaledobjects"),
    "ExternalSecret": Kind("external-secrets.io/v1", "externalsecrets"),
    "SecretProviderClass": Kind("secrets-store.csi.x-k8s.io/v1", "secretproviderclasses"),
    "Application": Kind("argoproj.io/v1alpha1", "applications"),
    "Kustomization": Kind("kustomize.toolkit.fluxcd.io/v1", "kustomizations"),
    "GitRepository": Kind("source.toolkit.fluxcd.io/v1", "gitrepositories"),
}


def bare(name: str) -> str:
    """The kind as an object says it, without the API group that may stand behind it here."""
    return name.partition(".")[0]


def resource(one: Mapping[str, Any]) -> str:
    """By what ``KINDS`` knows the kind of an object: with its API group where two have the kind."""
    group = str(one.get("apiVersion", "")).rpartition("/")[0]
    named = f"{one['kind']}.{group}"
    return named if named in KINDS else str(one["kind"])


def kind_of(name: str) -> Kind:
    """By its name. GreenlightError for one that nothing here is known of."""
    if name not in KINDS:
        raise GreenlightError(f"{name}: no such kind is known; known are {', '.join(KINDS)}")
    return KINDS[name]
