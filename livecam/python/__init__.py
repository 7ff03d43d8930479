"""The public interface: what the rooms below offer, as Python code likes it."""
