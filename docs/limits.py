"""Write docs/limits.md from the tables of limits: ``python -m docs.limits``. A test compares
them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from policies.limits.found import UNKNOWN_RULES
from policies.limits.tables import document

FILE = Path(__file__).parent / "limits.md"

HEAD = """# Limits

What Azure would refuse is told before it is asked: by `preview`, and by every check of a pull
request. Facts come from Azure itself where somebody has credentials, else from the tables on this
page; each finding and each row of the capacity table says which. The tables are files in
`policies/limits/data`. Each names the pages that it was taken from, the date that a page gives
itself, and the day on which somebody last compared the two.

**Unknown is not a pass.** What a table cannot tell comes out as a warning of its own kind and as
`unknown` in the capacity table.

## Live facts
`uv sync --extra azure` installs what signs in. Then, with `AZURE_SUBSCRIPTION_ID` (or
`ARM_SUBSCRIPTION_ID`) set and an identity that `azure-identity` finds, or with Pulumi's
`ARM_TENANT_ID`, `ARM_CLIENT_ID` and `ARM_CLIENT_SECRET`, these are read. The identity needs the
role Reader on the subscription.

- `Microsoft.Compute/skus`: sizes of a region, their zones, what the subscription may not use
- `Microsoft.Compute/locations/{region}/usages`: quota of virtual machines, by family, in all, spot
- `Microsoft.MachineLearningServices/locations/{region}/usages`: quota of Azure ML, likewise
- `checkNameAvailability` of storage accounts, key vaults, container registries and Event Hubs
- `/subscriptions/{id}/resources`: endpoints that the subscription has in the region

The tables stand in only where there are no credentials. A call that fails is an error.

Only Azure can tell, and only when it creates the resource: whether an endpoint's name is free in
the region, and whether the region has the machines at that moment. Quota is no promise of either.

## Against what is there
What cannot be changed once it exists is told when `preview` knows the stack as it is:

    pulumi login BACKEND
    pulumi stack export --stack production --file state.json
    ./greenlight preview --stack production --state state.json

The export needs the backend, and neither Azure nor the stack's passphrase: secrets stay encrypted
in it. Leave `--show-secrets` out; what it would show is hidden from the output all the same. The
file still tells how the stack is built, so keep it out of Git and remove it afterwards. In a
pipeline, both commands are one job.

A preview with a state plans for the subscription of that state, because names that have to be
unique are made of it; without one it takes the subscription that is signed in to, or one that is
made up. A state of another stack or subscription, and a file that is no export, end with exit 2: a
comparison with nothing would find nothing.

## How cores are counted
- A managed deployment: `ceil(1.2 x instances) x cores`, without the 1.2 for sizes that Azure ML
  exempts, times the slots that exist at once: two while a release replaces another.
- A node pool: as many nodes as its autoscaler may add, times cores. Nodes that an upgrade adds for
  a while are not counted.
- What exists already is taken off, at the least that it can have at this moment.
- Rows against the same quota are summed, and pass or fail together.

## How a model is measured
- Memory: 1.2 times its weights (Transformer Math 101, EleutherAI), over all GPUs of a node that
  hold one copy together; one instance where MIG divides a GPU; RAM where there is none. A
  GPU's GB are taken as decimal.
- Disk: its weights and the container images, on 85 % of the disk, where the kubelet begins to
  evict. A pool's disk is what it says, else AKS's default.

"""


def page() -> str:
    """The whole page."""
    parts = [*_unknown(), *_endpoints(), *_sizes(), *_regions(), *_names(), *_fixed()]
    return HEAD + "\n".join(parts) + "\n"


def _unknown() -> Iterator[str]:
    yield "## Findings that say what is not known"
    yield from _table(("rule", "about"), UNKNOWN_RULES.items())


def _endpoints() -> Iterator[str]:
    data = document("endpoints")
    yield f"## Azure ML endpoints\n{_source(data['source'])} Compared {data['read']}.\n"
    rows = (
        (row["of"], row["value"], "yes" if row["raised"] else "no")
        for row in data["limits"].values()
    )
    yield from _table(("limit", "value", "raised by Azure's support"), rows)


def _sizes() -> Iterator[str]:
    data = document("sizes")
    sources = data["sources"]
    yield f"## Sizes\nCompared {data['read']}. Beside the page of each family:\n"
    yield f"- managed endpoints and their reserve: {_source(sources['endpoints'])}"
    yield f"- Azure Linux: {_source(sources['azure_linux'])}"
    yield f"- MIG: {_source(sources['mig'])}\n"
    columns = ("size", "vCPUs", "GiB", "temporary disk, GiB", "GPUs", "endpoints", "Azure Linux")
    for family in data["families"]:
        name = family["family"] or f"{family['title']} (the name of its quota is not known)"
        yield f"### {name}\n{_gpu(family)}{_source(family['source'])}\n"
        yield from _table(columns, _family(family))


def _family(family: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    endpoints = family["endpoints"]
    listed = "not listed"
    if endpoints["listed"]:
        listed = "yes, x 1.2" if endpoints["reserve"] else "yes, no reserve"
    linux = f"from {family['azure_linux']}" if "azure_linux" in family else "not listed"
    for name, (vcpus, memory, temp, gpus) in family["sizes"].items():
        on_linux = linux if gpus != "0" else "yes"
        yield f"`{name}`", vcpus, memory, temp or "none", gpus, listed, on_linux


def _gpu(family: Mapping[str, Any]) -> str:
    if "gpu" not in family:
        return ""
    gpu = family["gpu"]
    return f"{gpu['model']}, {gpu['memory_gb']} GB each{', MIG' if gpu['mig'] else ''}. "


def _regions() -> Iterator[str]:
    data = document("regions")
    sources = data["sources"]
    yield f"## Regions\n{_source(sources['regions'])} Compared {data['read']}.\n"
    yield ", ".join(f"`{region}`" for region in data["regions"]) + ".\n"
    without = ", ".join(f"`{region}`" for region in data["without_zones"])
    yield f"Without availability zones, by the same page: {without}.\n"
    yield "### GPU sizes by region"
    yield (
        "Microsoft publishes this as an API that wants credentials, and as a search form. The "
        "rows are what `az vm list-skus --all` printed, as a user of Azure published it. In a "
        "row that is whole, a region that is missing did not offer the size; in the others it "
        f"is unknown. {_source(sources['offers'])}\n"
    )
    rows = (
        (
            ", ".join(f"`{size}`" for size in row["sizes"]),
            ", ".join(row["regions"]),
            "yes" if row["whole"] else "no",
        )
        for row in data["offers"]
    )
    yield from _table(("sizes", "regions", "whole"), rows)


def _names() -> Iterator[str]:
    data = document("names")
    yield f"## Names\nCompared {data['read']}.\n"
    rows = (
        (
            "<br>".join(f"`{type_}`" for type_ in row["types"]),
            "{} to {}".format(*row["length"]),
            row["words"],
            row["scope"],
            _source(data["sources"][row["source"]]),
        )
        for row in data["rules"]
    )
    yield from _table(("type", "characters", "pattern", "unique in", "source"), rows)


def _fixed() -> Iterator[str]:
    data = document("fixed")
    yield f"## What cannot be changed\nCompared {data['read']}.\n"
    rows = (
        (
            "every type" if row["type"] == "*" else f"`{row['type']}`",
            ", ".join(f"`{path.removeprefix('properties.')}`" for path in row["paths"]),
            ", ".join(f"{_word(a)} to {_word(b)}" for a, b in row.get("unless", ())) or "none",
            row["do"] + (" (Azure's pages disagree)" if row["effect"] == "conflicting" else ""),
            _source(row["source"]),
        )
        for row in data["rules"]
    )
    yield from _table(("type", "fields", "changes that work", "instead", "source"), rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(map(str, row)) + " |"
    yield ""


def _source(source: Mapping[str, Any]) -> str:
    name = source["url"].rpartition("/")[2]
    dated = f", {source['page']}" if source["page"] else ", undated"
    return f"[{name}]({source['url']}){dated}."


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    FILE.write_text(page())
