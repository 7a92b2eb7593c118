"""Arguments in, one call, text or JSON out."""
