"""Health to answers: from the results of checks and the orders of people, how each origin counts, and who is told."""
