"""Schedules: plans that begin at times, decided in streams of their own."""
