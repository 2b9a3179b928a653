"""The steps of a plan, by what they are about: each function gives those that one worker needs, in order."""
