"""checkov over templates, manifests and workflows, inside this process.

The ``checkov`` command takes ten seconds, most of them for loading what it then does not use, and
it passes over in silence what it cannot read or run. Here it loads in a fifth of that, and
whatever it would pass over is an error (docs/decisions/0009-checkov-in-process.md).
"""
