"""Makes a fresh machine able to run Greenlight, before Greenlight's own packages exist.

The launcher runs this with whatever Python it found, so everything here needs the standard
library alone and imports nothing from the other packages.
"""
