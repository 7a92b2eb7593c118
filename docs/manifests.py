"""Write docs/kubernetes: ``python -m docs.manifests``. A test compares them.

Each variant of the rendering is a file, so that a change of what is rendered is seen in review.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.manifests.variants import VARIANTS, rendered

FOLDER = Path(__file__).parent / "kubernetes"
PLAIN = "plain"
PAGE = Path(__file__).parent / "kubernetes.md"

HEAD = """# Kubernetes

With `target: kubernetes` in an environment, or `--target kubernetes` for all of them, `ship`,
`promote`, `rollback` and the others work on a cluster: the one that `context` names in KUBECONFIG.
The record is on object storage then (`ledger:`, [ledger.md](ledger.md)), so that every machine and
the watcher in the cluster see the same. From an empty cluster to a release, step by step:
[first-release.md](first-release.md).

- A slot is a Deployment `APP-blue` or `APP-green`, with its Service, autoscaler and budget.
- Weights, pins and mirror are in the HTTPRoute `APP`, on the Gateway that `gateway` names; the
  platform keeps that one.
- Counts come from Prometheus, at `prometheus` ([measuring.md](measuring.md)).
- The Lease `APP-greenlight` says who may write: it holds the highest fence seen, and the ledger's
  head. The fence is also a label of what we write, so that the API server refuses a write or a
  delete which an older run had begun. It names its environment, and no other takes it.
- The watcher is a Deployment `APP-watcher`, while a rollout is watched ([pods.md](pods.md)).

Everything is server-side applied by the field manager `greenlight`, never by force: a field of
somebody else's stops the step, and names them. With `git`, commits take the place of applies
([gitops.md](gitops.md)); live weights are written to the cluster either way.

An object of another application or environment is never written, whatever it is called: with
`namespace`, two that need the same model server cannot share one. `destroy` lets the namespace go
only where Greenlight made it and nobody else is in it: any Deployment, StatefulSet, Job, CronJob,
pod or claim without our `app.kubernetes.io/managed-by: greenlight` keeps it, and so does who may
not list them; a claim that goes with its pod, such as a cache's, is whose the pod is. Secrets and
ConfigMaps of others are not looked for, and go. What is rendered closes the application's own pods
alone, told from a chart's of the same name by that label. In a namespace that Greenlight made, and
that has no name here, one more policy, `APP-deny-all`, closes every pod; no file has it.

What is known across a cluster (the controller's object, the label `app.kubernetes.io/instance`, the
dashboard's file) is called `APP.ENV`: neither part has a dot, so no other two come to that name. A
namespace takes none, and is `APP-ENV` by default: where that is there and Greenlight did not make
it for this environment, or it may not be looked at, `ship` stops and says so. Then `namespace`
names another, or this one. `default`, `kube-…` and `…-system` are the cluster's own, and refused.

Before anything is changed it is counted whether the release has room, on the nodes and by the
namespace's quotas and limits ([rollout.md](rollout.md#room)), on the first `ship` as on any other.
Ready means that each pod's application has got an answer of its model server. A pod that goes
leaves the endpoints, answers what it has begun for `drainSeconds` at most, and tells Prometheus
what it had to cut.

What pods ask for, such as memory or replicas, reaches a slot with its next release: a setting that
is changed alone changes nothing that serves. Images are the environment's and not the release's:
before a return has to start a release of another engine again, bring `image` and `server` back as
they were.

`greenlight render APP --env ENV --out DIR` writes what an environment is in a cluster: one file an
object, in the order in which they are applied, the same bytes for the same input. Nothing is asked
of a cluster. A Namespace or PriorityClass that a rendering into the same folder has no more use for
is not deleted but told, exit 2: a controller that follows the folder
[would delete the object](gitops.md#taking-out-a-namespace).
vLLM's flags are those of its documentation from 0.18 on, `llm.yaml` takes no older
one; a return to an older one that was live leaves out what it does not know. They were not tried on
vLLM.

In the cluster, an application is a small pod that knows the prompt (two of them by default) in
front of a model server. A release that changes the prompt alone doubles the former and shares the
latter. The Gateway API's HTTPRoute holds the weights; a request with the header
`x-greenlight-slot` goes to the slot that it names; with `gateway.cookie`, so does one with that
cookie, where the Gateway takes regular expressions. The pods answer either only to who has a
tester's key ([pods.md](pods.md#testers)). A mirror sends to a port of its own, so that copies are
never taken for requests. `isolation: dedicated` gives a slot a model
server of its own.

What nobody has to ask for: pods after the restricted Pod Security Standard, without a token, a root
or a file system to write to; images by digest; memory limited and the processor asked for; network
policies that let in the gateway and the metrics' reader, and out the name service; a disruption
budget, spread over zones and nodes; alerts and a dashboard over what the pods expose. vLLM reads
safetensors alone, and no code of a model's is run; for a bitsandbytes model, by `quantization` or
its own configuration, vLLM takes a loader of its own whatever is asked, which falls back to `*.bin`
and `*.pt` where the source has no safetensors, read as PyTorch's `weights_only`. What has no field
in [llm.yaml](llm-yaml.md#kubernetes) is set by a patch (RFC 7396) in `patches`; `*` in its name is
any text, for names that hold a digest.

## What the platform keeps

- **Kubernetes** 1.30 or later, where a pod can wait before it ends; 1.35, or the feature gate
  ImageVolume, for models and adapters from `oci://`, and nodes whose container runtime mounts
  images (containerd from 2.1, CRI-O from 1.31).
- **Metrics.** The Prometheus operator and kube-state-metrics, for measuring and alerts, or
  another reader with `monitors` ([measuring.md](measuring.md#who-reads-the-pods));
  metrics-server or KEDA (`keda.sh/v1alpha1`, 2.7 or later), for the number of application pods.
  Where the operator's `podMonitorSelector` and `ruleSelector` ask for a label, such as `release`,
  patch PodMonitor and PrometheusRule `*`.
- **Volumes** that many nodes may read (ReadOnlyMany, ReadWriteMany), for `volume://` and
  `server.weights` with more than one pod.
- **A Gateway** of the Gateway API 1.3 or later, whose listener lets in routes of other namespaces.
  Requests are let in from the namespace of the Gateway; where its proxies run in
  another, `gateway.pods` names it (Envoy Gateway: `envoy-gateway-system`), and where they are
  outside the cluster, `gateway.addresses`. `gateway.timeout_seconds` is the route's limit for a
  whole answer. By default the route asks for none, since some gateways would cut at 15 s; timeouts
  of requests are an extended feature of the Gateway API, and a connection's idle timeout is the
  gateway's own. Where a gateway takes no timeouts in routes, say null. Mirrors of a part of the
  requests (`percent`) came with 1.3.
- **Application Gateway for Containers**: its ALB controller from 1.11.1 on; older ones have Gateway
  API 1.2, which knows no `percent`, and refuse timeouts in routes: say null, and set the timeout
  in a RoutePolicy. It was not tried.
- **Encryption.** The route is on every listener of its Gateway: beside HTTPS an open HTTP listener
  would take prompts and keys in the clear. Let the Gateway have HTTPS alone, or name the listener
  by a patch of HTTPRoute `APP`: `{spec: {parentRefs: [{name: greenlight, namespace: gateways,
  sectionName: https}]}}`. Of two listeners Greenlight itself asks the one that is first.
- **Trust**, with `identity`: federated credentials of that identity for the subjects
  `system:serviceaccount:NAMESPACE:APP-watcher`, which reads and writes the ledger, and
  `system:serviceaccount:NAMESPACE:APP`, as which nodes read a Key Vault. Our stack makes both, for
  `APP-ENV` where its settings name no other namespace; `ENV` is the stack's `environment`, so let
  `llm.yaml` call it the same, or name the namespace in both. Of all pods the watcher's alone hold a
  token: what else asks Azure itself needs the label `azure.workload.identity/use` by a patch, and
  may then write the ledger.
- **Names.** Pods ask for names where `k8s-app: kube-dns` is in `kube-system`. A cache on each node
  at a link-local address, or another place, needs a patch of the NetworkPolicies.
- **GPUs.** Model servers tolerate the taint `sku=gpu`, and one that is called as the GPUs are
  (`nvidia.com/gpu`). What brings them to a node is the GPUs that they ask for, and `gpu.pool`.
- **Rights** of the account that ships: [rights.yaml](rights.yaml), explained in
  [first-release.md](first-release.md#5-rights).

## Secrets

`secrets` names what model servers are given, such as a token for gated weights: each is a file,
`/secrets/NAME`, and `fileEnv` a variable with its path (`HF_TOKEN_PATH`). `env` puts the value into
a variable as well, where a program reads nothing else; `greenlight check` then says that a file
shows it to less. No value is ever in what is rendered.

- From `keyVault`: a SecretProviderClass, read on the node as `identity`; a Secret of the cluster
  only for `env`. The platform keeps the Secrets Store CSI driver with Azure's provider (for `env`
  with its copying to Secrets on) and gives the identity the right to read.
- From `external`: an ExternalSecret, of which its operator makes a Secret. The platform keeps
  External Secrets, 0.16 or later (`external-secrets.io/v1`), and the store that `store` names.

Neither was tried against a vault: that a real API server takes the objects, and that names and
places are right, is what the tests know.

## What would change

`greenlight diff APP --env ENV` shows what bringing the candidate to the cluster would change, and
applies nothing. The API server answers a dry run of the same server-side apply, so its defaults
make no noise, and what it would refuse is said: a field of another manager's, with the manager's
name, or an object that a policy does not let in. By Git it is asked as the controller,
whose the fields are; those of anybody else's are said all the same.

- The candidate goes to the slot that holds it already, else to one that is free, else to the one
  with the least traffic. Weights are shown as they are: moving them is the rollout's work.
- New objects are shown as they are rendered; in a namespace that is not there yet, nothing can be
  tried. What nobody needs once the candidate is there is shown as removed, just as a deploy
  takes it away: prompts that no slot mounts, model servers that none asks, an autoscaler of the
  other kind. All else stays until `destroy`.
- Namespace and PriorityClass are shown where `ship` would make them, by Git too, and never as
  changed: it leaves alone what is there. A namespace that it would stop at is refused, and so is
  what another application or environment has there.
- Values of Secrets are never shown, credentials in other places neither.
- `--markdown` writes a comment for a pull request: a table, and each object folded. What would be
  longer than GitHub takes (65,536 characters) is left out whole, and counted. `--json` has every
  field.
- The exit code is 0, whether or not anything would change, and 3 where the API server, or `ship`,
  would refuse anything. (`kubectl diff` says 1 for a difference; here 1 is a failure.)

After an edit of a spec it shows the very lines that `kubectl diff --server-side` does, but for
counters of the server's own; the tests compare them.

**Drift** is where the cluster is otherwise than Git says; `status` tells it, by Git alone: fields
that are otherwise, objects that are missing, with the field manager who owns them now. Weights,
mirrors and numbers of pods are no drift; nor is what others add beside our fields. Without Git
nothing says what was meant: `diff` compares the cluster with the candidate.

## Variants

With `git` in that section a controller applies what Greenlight commits, see
[gitops.md](gitops.md). What makes Argo CD or Flux follow the folder goes into `DIR/controller`, to
be applied once; it is not part of the folder.

The first file below is whole, each other holds what differs from it. A real API server takes every
object of each, and refuses a field that it does not know; kubeconform finds none either, and
`kubectl diff` no difference once they are applied.

This page and the files are written by `python -m docs.manifests`; a test keeps them current.

| variant | objects |
|---|---|
"""


def pages() -> dict[Path, str]:
    """Every file, and what is in it."""
    files = {FOLDER / f"{_slug(name)}.yaml": _documents(name) for name in VARIANTS}
    rows = [
        f"| [{name}](kubernetes/{_slug(name)}.yaml) | {len(rendered(name))} |" for name in VARIANTS
    ]
    return {**files, PAGE: HEAD + "\n".join(rows) + "\n"}


def _documents(name: str) -> str:
    """All of the plain variant; of another what is different there, or not there at all."""
    plain = () if name == PLAIN else rendered(PLAIN)
    own = [one for one in rendered(name) if one not in plain]
    gone = {one.file for one in plain} - {one.file for one in rendered(name)}
    said = [f"# {len(own)} objects that plain.yaml does not have, or has otherwise\n"] * bool(plain)
    said += [f"# not there: {file}\n" for file in sorted(gone)]
    return "".join(said) + "---\n".join(one.text for one in own)


def _slug(name: str) -> str:
    return re.sub("[^a-z0-9 ]", "", name.lower()).replace(" ", "-")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.yaml"):
        old.unlink()
    for file, text in pages().items():
        file.write_text(text)
