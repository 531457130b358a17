"""PAPA and EPAPA."""
