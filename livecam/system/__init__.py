"""The machine: processor cores, processes, files."""
