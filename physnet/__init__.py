"""physnet."""
