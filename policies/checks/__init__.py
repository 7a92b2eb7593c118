"""Doors through checkov: what makes a rule a check of its own frameworks."""
