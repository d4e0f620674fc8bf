"""The command line: a file for each command, with its flags beside what it does."""
