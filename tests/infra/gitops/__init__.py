"""Tests of infra/gitops."""
