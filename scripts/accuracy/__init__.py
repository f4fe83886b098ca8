"""Accuracy against speed of trained networks: scripts/accuracy_curve."""
