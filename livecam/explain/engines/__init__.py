"""How a program is run: operation by operation, or as one piece of compiled code."""
