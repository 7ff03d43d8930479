"""Pictures: the frame that travels, its planes, colours and facts."""
