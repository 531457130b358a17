"""The stages of the workflow, each a subcommand of `papa` that can be run by hand."""
