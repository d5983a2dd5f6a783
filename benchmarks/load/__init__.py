"""Many uploads against whole servers: what is lost (nothing), how long it takes, what it costs."""
