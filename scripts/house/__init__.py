"""The house check: what scripts/tidy enforces and counts. Standard library only."""
