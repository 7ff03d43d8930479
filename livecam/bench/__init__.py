"""What `livecam bench` and the benchmarks measure, and how."""
