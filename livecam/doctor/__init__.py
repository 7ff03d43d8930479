"""Whether all is in place: each part of the machine that livecam builds on is tried, and what is missing is told."""
