"""Models that are told about a person: user encoders, the attention that reads them, and adapters on disk."""
