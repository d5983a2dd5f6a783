"""What the queue costs, by the number of jobs in its table."""
