"""Pictures: frames, their planes, colours and orientation, and the facts of the medium they come from."""
