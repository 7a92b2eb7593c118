"""Acting by Git: a commit, and the controller in the cluster that reports it."""
