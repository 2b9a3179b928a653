"""What each phase does, one function each."""
