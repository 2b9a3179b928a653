"""Tests of profiles and filters."""
