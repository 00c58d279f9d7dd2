"""Recipes: one runnable file per job, each with the score, time and memory it was measured at."""
