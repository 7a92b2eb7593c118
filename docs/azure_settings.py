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

This page is written by `python -m docs.azure_settings`; a test keeps it current.
"""


def page() -> str:
    """The whole page."""
    schema = AzureSettings.model_json_schema(by_alias=True)
    sections = [("greenlight:azure", schema), *sorted(schema["$defs"].items())]
    return "\n".join([HEAD, *(section(name, value) for name, value in sections)])


if __name__ == "__main__":
    FILE.write_text(page())
