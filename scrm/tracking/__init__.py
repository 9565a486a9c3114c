"""What visitors of the shop's pages do, whom they turn out to be, and who opened what a member sent."""
