"""`icr evaluate`: from its command to its leaderboard."""
