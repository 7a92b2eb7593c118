"""Spec → Kubernetes objects. Pure: nothing is asked of a cluster here."""
