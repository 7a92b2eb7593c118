"""What kwok does with pods that the tests' kubelet would run, where there is none."""

from __future__ import annotations

from tests.cluster.client import Cluster
from tests.cluster.objects import deployment, pods, put
from tests.cluster.stages import MANAGED


def test_without_a_kubelet_a_pod_starts_never_and_goes_at_once(
    cluster: Cluster, played: str
) -> None:
    """kwok leaves it alone until it has to go."""
    put(cluster, played, deployment("echo", grace=600))
    where = (f"--namespace={played}", "--timeout=60s")
    cluster.must("wait", "--for=create", "pod", "--selector=app=echo", *where)
    cluster.must("wait", "--for=condition=PodScheduled", "pod", "--selector=app=echo", *where)

    cluster.must("delete", "deployment", "echo", *where)
    cluster.must("wait", "--for=delete", "pod", "--selector=app=echo", *where)


def test_a_pod_whose_kubelet_has_gone_goes_after_its_grace(cluster: Cluster, played: str) -> None:
    """As pods of a lost node are taken away in the end."""
    put(cluster, played, deployment("echo", grace=1))
    where = (f"--namespace={played}", "--timeout=60s")
    cluster.must("wait", "--for=create", "pod", "--selector=app=echo", *where)
    cluster.must("wait", "--for=condition=PodScheduled", "pod", "--selector=app=echo", *where)
    (pod,) = pods(cluster, played, "echo")
    ip = '{"status": {"phase": "Running", "podIP": "10.245.9.9", "podIPs": [{"ip": "10.245.9.9"}]}}'
    how = ("--subresource=status", "--type=merge", f"--patch={ip}", where[0])
    cluster.must("patch", "pod", pod["metadata"]["name"], *how)

    cluster.must("delete", "deployment", "echo", *where)
    gone = ("pod", f"--selector={'='.join(MANAGED)}", *where)
    cluster.must("wait", "--for=delete", *gone)
