"""What several tests use: small settings, stand-ins, drawn numbers and ways to run things."""
