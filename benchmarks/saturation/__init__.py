"""Where each part of Pixerve saturates, each measured alone."""
