"""Each figure that the documentation quotes, as a command that anyone can run."""
