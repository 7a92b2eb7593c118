"""The verbs: facts → plan → apply. Pipelines run the Pulumi CLI and never import infra."""
