"""What a process has to do with the machine that it runs on."""
