"""What every measurement shares: what is timed, how, and what is recorded of it."""
