"""Rules, and the adapters that run them."""
