"""How the shipped weights were trained, one folder a task. Nobody needs to run this to use them."""
