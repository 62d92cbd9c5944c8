"""What commands need of the machine they run on: terminal, memory, packages, folders of runs."""
