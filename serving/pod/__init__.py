"""A slot's application as a pod of Kubernetes: over TCP, counted, drained when it has to go."""
