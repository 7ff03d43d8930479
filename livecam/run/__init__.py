"""A run over a file or over pictures: its threads, its account, and the files beside its output."""
