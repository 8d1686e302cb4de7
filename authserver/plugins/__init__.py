"""The plugins: each adapts a room of the house to the chain."""
