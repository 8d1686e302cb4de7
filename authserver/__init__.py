"""Opens sockets, waits, schedules, and speaks to people."""
