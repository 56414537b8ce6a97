"""Durable plans for AI agents."""
