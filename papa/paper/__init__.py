"""From measurements to the long table, tables, figures and verdicts."""
