"""What people get wrong, one table for each command group: the command line and the one line that answers."""
