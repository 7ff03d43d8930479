"""How a program is run: operation by operation, as a model of OpenVINO, or captured and compiled on a GPU."""
