"""What people get wrong, a table for each command group: command lines and their answers."""
