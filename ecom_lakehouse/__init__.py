"""A local-first real-time e-commerce lakehouse."""
