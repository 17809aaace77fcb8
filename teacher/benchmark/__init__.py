"""How fast labels are made on this machine: `potstill label --benchmark`."""
