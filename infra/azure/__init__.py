"""Azure: what a platform team provisions for its applications, one file a concern."""
