"""What every picture says about its making, and what an operator may demand (docs/SECURITY.md)."""
