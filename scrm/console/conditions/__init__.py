"""The builder of conditions: its controls, what they offer, and the tree as text."""
