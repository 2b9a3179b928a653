"""Tests of supervisor.policy."""
