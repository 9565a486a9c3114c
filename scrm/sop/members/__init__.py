"""What members are asked to do, and what they are told."""
