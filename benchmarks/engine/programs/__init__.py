"""The peers: each is one long-lived process that reads jobs as lines of JSON, like our child."""
