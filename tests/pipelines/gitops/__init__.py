"""Tests of pipelines/gitops."""
