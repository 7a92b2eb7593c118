"""Pure rules: a value in, findings out."""
