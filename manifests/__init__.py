"""Spec → Kubernetes objects. Empty until the kubernetes target: its place in the layers is kept."""
