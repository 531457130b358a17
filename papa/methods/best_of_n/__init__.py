"""Best of n."""
