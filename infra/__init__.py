"""Settings → components: what Pulumi provisions. It never imports pipelines."""
