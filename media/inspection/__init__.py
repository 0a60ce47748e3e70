"""Looking into files that may be hostile: in a child process with limits."""
