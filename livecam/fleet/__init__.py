"""Runs on the machines of a cluster. Ray starts the workers, places them and starts them again where one dies."""
