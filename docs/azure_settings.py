"""Write docs/azure-settings.md from the models: ``python -m docs.azure_settings``. A test compares
them."""

from __future__ import annotations

from pathlib import Path

from docs.reference import section
from infra.azure.settings import AzureSettings

FILE = Path(__file__).parent / "azure-settings.md"

HEAD = """# Settings of an Azure stack

`greenlight:azure` in `infra/stacks/Pulumi.STACK.yaml`, with `greenlight:target: azure`. Unknown
keys are refused with file, line and a suggestion. Dates go in quotes: the engine reads a bare one
as a moment. Two more settings bound what a plan may name, `greenlight:imageRegistries` (hosts of
container images, by default `mcr.microsoft.com`) and `greenlight:modelRegistries` (Azure ML
registries of catalog models, by default `azureml`). `greenlight:duringRollout: keep` lets an
endpoint's shell be updated in mid-rollout, with the traffic as it was read, and be deleted or
replaced while it has traffic; `pulumi destroy` needs `--run-program` to ask for it.

What is optional and has no default is not made unless it is asked for. Every other default says
why it is what it is.

This page is written by `python -m docs.azure_settings`; a test keeps it current.
"""

WHY: dict[str, str] = {
    "AzureSettings.instance": "Cloud Adoption Framework counts in three digits",
    "AzureSettings.dataClassification": "prompts and answers may hold what people wrote",
    "AzureSettings.logRetentionDays": "a quarter, so that an incident of last month can be read",
    "AzureSettings.workspace": "the smallest that serves endpoints, closed to the internet",
    "Alerts.errorRate": "one answer in twenty; a rollout stops far earlier",
    "Alerts.latencyP95Ms": "people who wait for an answer give up at about ten seconds",
    "Alerts.gpuUtilization": "a busy GPU is well used; a full one makes requests wait",
    "Alerts.capacity": "a GPU node takes minutes to come, so a fifth has to be left",
    "Application.modelGib": "unknown: its storage is then not checked",
    "Budget.thresholds": "half for the plan, nine tenths to act on, all to answer for",
    "Cluster.kubernetesVersion": "the version that the components were written for",
    "Cluster.private": "nobody needs its API from the internet",
    "Cluster.tier": "customers depend on it",
    "Cluster.defender": "finds what is wrong in what runs; the price is a core's",
    "Cluster.encryptionAtHost": "caches on a node hold prompts and weights",
    "Endpoint.kind": "Azure runs its machines, and both slots side by side",
    "Endpoint.instances": "the least; how many are needed is measured",
    "Endpoint.slots": "the names that a rollout uses",
    "Events.partitions": "four readers at once; more cost nothing and order less",
    "Events.retentionHours": "a night of an outage of whoever reads",
    "Events.throughputUnits": "the least that is paid for",
    "Events.mostThroughputUnits": "ten times the least, before anything is throttled",
    "Flux.branch": "Git's own",
    "Flux.path": "a repository of manifests alone",
    "Flux.intervalSeconds": "a change is there within five minutes without a webhook",
    "GpuPool.minCount": "an idle GPU costs as much as a busy one",
    "GpuPool.spot": "a machine that is taken back cuts answers",
    "GpuPool.os": "every GPU size runs on it",
    "GpuPool.driver": "AKS installs and updates it",
    "GpuPool.osDiskGib": "an image of a model server has 10 GiB, weights many times that",
    "Maintenance.day": "the quietest for most",
    "Maintenance.start": "night in Europe, evening in America",
    "Maintenance.hours": "room to drain GPU nodes one by one",
    "ModelDeployment.sku": "data stays in the region that was allowed",
    "Network.private": "a way in has to be asked for",
    "Network.addressSpace": "65,536 addresses, seldom used by offices; it cannot shrink",
    "OpenAI.filterThreshold": "Azure's own default; a rule refuses High",
    "SystemPool.size": "Azure asks for four cores; a local disk makes nodes quick to start",
    "SystemPool.minCount": "one a zone, so that a zone may go",
    "SystemPool.maxCount": "twice the least, for upgrades and add-ons",
    "SystemPool.zones": "all of a region's",
    "WorkPool.size": "gateways and applications are small",
    "WorkPool.minCount": "one may go",
    "WorkPool.maxCount": "bounds what a mistake can cost",
    "WorkPool.zones": "all of a region's",
    "Workspace.kind": "hubs are for teams that share one",
    "Workspace.isolation": "what is not named is not reached, so nothing leaks there",
    "Workspace.firewall": "Basic stops at 250 Mb/s, too slow for weights",
}
"""Why a default is what it is, by model and key."""


def page() -> str:
    """The whole page."""
    schema = AzureSettings.model_json_schema(by_alias=True)
    for name, model in {"AzureSettings": schema, **schema["$defs"]}.items():
        for key, value in model["properties"].items():
            if why := WHY.get(f"{name}.{key}"):
                value["description"] += f". Why: {why}"
    sections = [("greenlight:azure", schema), *sorted(schema["$defs"].items())]
    return "\n".join([HEAD, *(section(name, value) for name, value in sections)])


if __name__ == "__main__":
    FILE.write_text(page())
