"""One training loop; what it trains is a `Stage`, a value."""
