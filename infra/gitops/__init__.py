"""The part of an environment that GitOps applies: its folder in a checkout."""
