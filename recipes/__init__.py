"""How the shipped weights were trained, one folder a task. The package ships the weights, so this need not be run."""
