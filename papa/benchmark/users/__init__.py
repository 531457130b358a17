"""Hidden users: what they like, and how they answer."""
