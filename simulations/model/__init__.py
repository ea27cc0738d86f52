"""What every engine is given and gives: a run's inputs, random streams and history, and what must hold in it."""
