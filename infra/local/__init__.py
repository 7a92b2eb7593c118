"""Environments on this machine."""
