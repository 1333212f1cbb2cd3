"""What every HTTP call passes, whatever its protocol."""
