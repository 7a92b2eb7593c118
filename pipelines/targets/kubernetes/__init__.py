"""A Kubernetes cluster: the Gateway API routes, Prometheus counts, a Lease fences."""
